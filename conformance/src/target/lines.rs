//! JSON lines, bounded: what a program writes on its standard output, or what comes over a socket of this host.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

/// Longest line, in bytes.
pub(super) const LINE_MAX: usize = 4 << 20;

/// A pair of streams that carry lines.
pub(super) struct Lines {
    read: Box<dyn AsyncBufRead + Unpin>,
    write: Box<dyn AsyncWrite + Unpin>,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
}

impl core::fmt::Debug for Lines {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

/// What was read.
pub(super) enum Line {
    Text(String),
    /// The stream is over, and why.
    End(String),
}

impl Lines {
    pub(super) fn new(
        read: impl AsyncRead + Unpin + 'static,
        write: impl AsyncWrite + Unpin + 'static,
    ) -> Self {
        Self { read: Box::new(BufReader::new(read)), write: Box::new(write), partial: Vec::new() }
    }

    pub(super) async fn send(&mut self, text: &str) -> io::Result<()> {
        self.write.write_all(text.as_bytes()).await?;
        self.write.write_all(b"\n").await?;
        self.write.flush().await
    }

    /// The next line that is not empty. May be given up and called again: nothing is lost.
    pub(super) async fn next(&mut self) -> Line {
        loop {
            let chunk = match self.read.fill_buf().await {
                Ok([]) => {
                    let cut = if self.partial.is_empty() { "" } else { " in the middle of a line" };
                    return Line::End(format!("its output ended{cut}"));
                }
                Ok(chunk) => chunk,
                Err(error) => return Line::End(format!("cannot be read: {error}")),
            };
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let length = end.map_or(chunk.len(), |end| end + 1);
            self.partial.extend_from_slice(&chunk[..length]);
            self.read.consume(length);
            if self.partial.len() > LINE_MAX {
                return Line::End(format!("it wrote a line longer than {LINE_MAX} bytes"));
            }
            if end.is_some() {
                let line = core::mem::take(&mut self.partial);
                match String::from_utf8(line) {
                    Ok(text) if text.trim().is_empty() => {}
                    Ok(text) => return Line::Text(text.trim_end_matches(['\n', '\r']).to_owned()),
                    Err(_) => return Line::End("it wrote a line that is not UTF-8".to_owned()),
                }
            }
        }
    }
}
