//! Frames on a stream: an unsigned varint, and as many bytes. All our protocols have this form.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::message::put_varint;

/// Why no frame came.
#[derive(Debug)]
pub enum ReadError {
    /// It is longer than allowed; nothing of it was read.
    TooLong,
    /// The length is no number.
    Garbage,
    /// The stream broke, in the middle of a frame or not.
    Io(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads one frame of at most `max` bytes; `None` at the end of the stream. Memory is taken as bytes come in, not on the
/// word of the length.
///
/// # Errors
/// See [`ReadError`].
pub async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    max: usize,
) -> Result<Option<Vec<u8>>, ReadError> {
    let (mut length, mut byte) = (0u64, [0]);
    for shift in (0..35).step_by(7) {
        if stream.read(&mut byte).await? == 0 {
            // Inside a length the end comes too early.
            return if shift == 0 {
                Ok(None)
            } else {
                Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
            };
        }
        length |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            if length > max as u64 {
                return Err(ReadError::TooLong);
            }
            let mut frame = Vec::new();
            stream.take(length).read_to_end(&mut frame).await?;
            let whole = frame.len() as u64 == length;
            return if whole {
                Ok(Some(frame))
            } else {
                Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
            };
        }
    }
    // No length that we take has more than five bytes.
    Err(ReadError::Garbage)
}

/// Writes one frame and flushes it.
///
/// # Errors
/// If the stream breaks.
pub async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> io::Result<()> {
    stream.write_all(&framed(body)).await?;
    stream.flush().await
}

/// A frame's bytes.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(body.len() + 5);
    put_varint(&mut frame, body.len());
    frame.extend_from_slice(body);
    frame
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    fn read(bytes: &[u8], max: usize) -> Result<Option<Vec<u8>>, ReadError> {
        block_on(read_frame(&mut Cursor::new(bytes), max))
    }

    #[test]
    fn frames_read_back_and_the_end_is_told_from_a_break() {
        let body = vec![7; 300];
        let mut bytes = framed(&body);
        bytes.extend(framed(&[]));
        let mut stream = Cursor::new(&bytes);
        assert_eq!(block_on(read_frame(&mut stream, 300)).ok().flatten(), Some(body));
        assert_eq!(block_on(read_frame(&mut stream, 300)).ok().flatten(), Some(vec![]));
        assert!(matches!(block_on(read_frame(&mut stream, 300)), Ok(None)));
        for cut in 1..302 {
            assert!(matches!(read(&bytes[..cut], 300), Err(ReadError::Io(_))), "{cut}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        assert!(matches!(read(&framed(&[7; 300]), 299), Err(ReadError::TooLong)));
        assert!(matches!(read(&[0xff, 0xff, 0xff, 0xff, 0x7f], 300), Err(ReadError::TooLong)));
        assert!(matches!(read(&[0xff; 9], usize::MAX), Err(ReadError::Garbage)));
    }
}
