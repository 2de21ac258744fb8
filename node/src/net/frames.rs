//! Frames on a stream: an unsigned varint, and as many bytes. All our protocols have this form.

use std::io;
use std::sync::Arc;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::message::put_varint;

/// Bytes that a frame of a [`Budget`] takes at a time. Our choice.
const STEP: usize = 16 * 1024;

/// Bytes that frames of peers may take up in memory, all together. Copies are of the same.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Semaphore>);

impl Budget {
    /// `bytes` of them.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// The bytes that nothing takes up.
    pub fn left(&self) -> usize {
        self.0.available_permits()
    }

    /// Takes up nothing yet.
    pub fn nothing(&self) -> Held {
        Held { budget: self.clone(), permit: None }
    }
}

/// What somebody has taken from a [`Budget`]; dropped, it is given back.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Takes up so many bytes more, if they are left.
    pub fn take(&mut self, bytes: usize) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else { return false };
        let Ok(more) = Arc::clone(&self.budget.0).try_acquire_many_owned(bytes) else { return false };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        true
    }
}

/// Why no frame came.
#[derive(Debug)]
pub enum ReadError {
    /// It is longer than allowed; nothing of it was read.
    TooLong,
    /// The length is no number.
    Garbage,
    /// Frames of others take up all the memory that there is for them.
    Crowded,
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
    let Some(length) = read_length(stream, max).await? else { return Ok(None) };
    let mut frame = Vec::new();
    stream.take(length as u64).read_to_end(&mut frame).await?;
    if frame.len() == length { Ok(Some(frame)) } else { Err(cut_short()) }
}

/// The same with the bytes taken from a budget as they come in. What the frame takes up is added to `held`.
///
/// # Errors
/// See [`ReadError`].
pub async fn read_frame_within(
    stream: &mut (impl AsyncRead + Unpin),
    max: usize,
    held: &mut Held,
) -> Result<Option<Vec<u8>>, ReadError> {
    let Some(length) = read_length(stream, max).await? else { return Ok(None) };
    let mut frame = Vec::new();
    let mut piece = [0; 1024];
    let mut taken = 0;
    while frame.len() < length {
        let room = (length - frame.len()).min(piece.len());
        let count = stream.read(&mut piece[..room]).await?;
        if count == 0 {
            return Err(cut_short());
        }
        if frame.len() + count > taken {
            let step = STEP.min(length - taken);
            if !held.take(step) {
                return Err(ReadError::Crowded);
            }
            taken += step;
            frame.reserve_exact(step.max(frame.len()).min(length - frame.len()));
        }
        frame.extend_from_slice(&piece[..count]);
    }
    Ok(Some(frame))
}

/// Reads a frame's length; `None` at the end of the stream.
async fn read_length(stream: &mut (impl AsyncRead + Unpin), max: usize) -> Result<Option<usize>, ReadError> {
    let (mut length, mut byte) = (0u64, [0]);
    for shift in (0..35).step_by(7) {
        if stream.read(&mut byte).await? == 0 {
            // Inside a length the end comes too early.
            return if shift == 0 { Ok(None) } else { Err(cut_short()) };
        }
        length |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            let length = usize::try_from(length).ok().filter(|length| *length <= max);
            return length.map(Some).ok_or(ReadError::TooLong);
        }
    }
    // No length that we take has more than five bytes.
    Err(ReadError::Garbage)
}

fn cut_short() -> ReadError {
    io::Error::from(io::ErrorKind::UnexpectedEof).into()
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
    fn frames_within_a_budget_take_what_they_hold_and_give_it_back() {
        let body = vec![7; 100_000];
        let bytes = framed(&body);
        let budget = Budget::new(150_000);
        let read = |bytes: &[u8], held: &mut Held| {
            block_on(read_frame_within(&mut Cursor::new(bytes), 100_000, held))
        };
        let mut held = budget.nothing();
        assert_eq!(read(&bytes, &mut held).ok().flatten(), Some(body));
        assert_eq!(budget.left(), 50_000);
        // A length alone takes nothing, and a part about as much as there is of it.
        let mut other = budget.nothing();
        assert!(matches!(read(&bytes[..3], &mut other), Err(ReadError::Io(_))));
        assert_eq!(budget.left(), 50_000);
        assert!(matches!(read(&bytes[..3 + STEP], &mut other), Err(ReadError::Io(_))));
        assert_eq!(budget.left(), 50_000 - STEP);
        assert!(matches!(read(&bytes, &mut other), Err(ReadError::Crowded)));
        assert!(other.take(1) && !other.take(50_000));
        drop((held, other));
        assert_eq!(budget.left(), 150_000);
        let mut held = budget.nothing();
        assert!(matches!(read(&framed(&[]), &mut held), Ok(Some(frame)) if frame.is_empty()));
        assert!(matches!(read(&[], &mut held), Ok(None)));
        assert!(matches!(read(&framed(&[7; 100_001]), &mut held), Err(ReadError::TooLong)));
        assert_eq!(budget.left(), 150_000);
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        assert!(matches!(read(&framed(&[7; 300]), 299), Err(ReadError::TooLong)));
        assert!(matches!(read(&[0xff, 0xff, 0xff, 0xff, 0x7f], 300), Err(ReadError::TooLong)));
        assert!(matches!(read(&[0xff; 9], usize::MAX), Err(ReadError::Garbage)));
    }
}
