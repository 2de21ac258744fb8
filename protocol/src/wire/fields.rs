//! Walking the fields of a protobuf message without decoding it, to count elements before memory is spent on them; and
//! how long fields are, for those who only count bytes.

/// Why bytes are no message of a protocol.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WireError {
    /// Longer than the limit.
    #[error("{0} bytes are too many")]
    TooLong(usize),
    /// More elements of a kind than the limit.
    #[error("{count} {what} are too many")]
    TooMany {
        /// The kind.
        what: &'static str,
        /// How many there are.
        count: usize,
    },
    /// Not protobuf: cut off, a bad varint, or a group.
    #[error("not a protobuf message")]
    Torn,
    /// Protobuf, but not of the protocol's schema, or a text that is not UTF-8.
    #[error("not a message of this protocol: {0}")]
    Schema(prost::DecodeError),
}

/// Bytes of a length-delimited field of `len` bytes with a tag below 16.
pub const fn field(len: usize) -> usize {
    1 + varint(len as u64) + len
}

/// Bytes of a number.
pub const fn varint(value: u64) -> usize {
    let bits = u64::BITS - value.leading_zeros();
    if bits == 0 { 1 } else { bits.div_ceil(7) as usize }
}

/// The field headers of one protobuf message.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next field's number, and its contents if they are bytes, a text or a message; else nothing.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &'a [u8])>, WireError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let body = match key & 7 {
            0 => {
                self.varint()?;
                &[]
            }
            1 => &self.take(8)?[..0],
            2 => {
                let length = self.varint()?;
                self.take(usize::try_from(length).map_err(|_| WireError::Torn)?)?
            }
            5 => &self.take(4)?[..0],
            // Groups (3, 4) are long out of use.
            _ => return Err(WireError::Torn),
        };
        Ok(Some((key >> 3, body)))
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(WireError::Torn)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take(1)? else { return Err(WireError::Torn) };
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Torn)
    }
}
