//! What is printed: JSON lines, diagnostics and commands to type.

use std::io::{ErrorKind, Write};

use anyhow::Context;

use crate::failure::Failure;

/// Stdout. A reader that closes it early (`| head`) is no error: what follows is dropped and the work goes on, so that
/// the exit code and the output folder stay true.
#[derive(Debug, Default)]
pub(crate) struct Stdout {
    closed: bool,
}

impl Stdout {
    /// Prints a line.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let mut stdout = std::io::stdout().lock();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            written => Ok(written.context("cannot write to stdout")?),
        }
    }

    /// Prints a JSON object on a line.
    #[cfg(any(feature = "conform", feature = "sim"))]
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        self.line(&serde_json::to_string(value).context("cannot write JSON")?)
    }
}

/// Prints a diagnostic on stderr. That nobody reads it is no error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A command as it can be pasted into a shell.
pub(crate) fn command(parts: &[&str]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+%@".contains(c);
    let quoted = parts.iter().map(|part| {
        if !part.is_empty() && part.chars().all(plain) {
            (*part).to_owned()
        } else {
            format!("'{}'", part.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// The command that runs now.
pub(crate) fn this_command() -> String {
    let args: Vec<String> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let parts: Vec<&str> = std::iter::once("hyperlab").chain(args.iter().map(String::as_str)).collect();
    command(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        assert_eq!(
            command(&["hyperlab", "run", "a b.toml", "--set", "network.loss=2%"]),
            "hyperlab run 'a b.toml' --set network.loss=2%"
        );
        assert_eq!(command(&["it's", ""]), r"'it'\''s' ''");
    }
}
