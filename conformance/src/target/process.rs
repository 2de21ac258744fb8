//! A program that the judge starts: its command, the end of what it says on stderr, how it died. It is killed with the judge.

use core::time::Duration;
use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::TargetError;
use super::lines::Lines;

/// How long to wait for the end of a process that is ending.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What is kept of stderr, in bytes.
const TAIL_MAX: usize = 2048;

/// A program that runs.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    tail: Arc<Mutex<VecDeque<u8>>>,
    reader: Option<JoinHandle<()>>,
    name: String,
}

impl Process {
    /// Starts a command. With `lines` its input and output are given back.
    pub(super) fn start(words: &[String], lines: bool) -> Result<(Self, Option<Lines>), TargetError> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(TargetError::Unreachable("there is no command".to_owned()));
        };
        let pipe = || if lines { Stdio::piped() } else { Stdio::null() };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(pipe())
            .stdout(pipe())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                TargetError::Unreachable(format!(
                    "cannot start '{program}': {error}; give a path that exists and may be executed"
                ))
            })?;
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let stderr = child.stderr.take();
        let reader = stderr.map(|stderr| tokio::spawn(keep_tail(stderr, Arc::clone(&tail))));
        let streams = child.stdout.take().zip(child.stdin.take());
        let lines = streams.map(|(stdout, stdin)| Lines::new(stdout, stdin));
        Ok((Self { child, tail, reader, name: program.clone() }, lines))
    }

    /// How it ended, if it did.
    pub(super) async fn death(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        // What it said last may still be in the pipe; a child of its own may keep that open.
        if let Some(reader) = self.reader.take() {
            let _ = timeout(LAST_WORDS, reader).await;
        }
        let tail: Vec<u8> = self.tail.lock().map(|tail| tail.iter().copied().collect()).unwrap_or_default();
        let tail = String::from_utf8_lossy(&tail);
        let said = match tail.trim() {
            "" => String::new(),
            said => format!("; the end of what it said on stderr:\n{said}"),
        };
        Some(format!("'{}' ended with {status}{said}", self.name))
    }

    /// As [`Process::death`], of one that is about to end: its output is over.
    pub(super) async fn death_soon(&mut self) -> Option<String> {
        let _ = timeout(LAST_WORDS, self.child.wait()).await;
        self.death().await
    }

    /// Kills it and waits until it is gone.
    pub(super) async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// Waits until somebody listens on a port of this host.
    pub(super) async fn wait_for(
        &mut self,
        port: u16,
        deadline: Instant,
        patience: Duration,
    ) -> Result<(), TargetError> {
        loop {
            if let Some(death) = self.death().await {
                return Err(TargetError::Unreachable(format!(
                    "{death}\nbefore it listened on 127.0.0.1:{port}"
                )));
            }
            if let Ok(Ok(_)) = timeout_at(deadline, TcpStream::connect(("127.0.0.1", port))).await {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(TargetError::Unreachable(format!(
                    "'{}' runs but nobody listens on 127.0.0.1:{port} after {} s: put {{port}} into the command where it takes \
                     its port",
                    self.name,
                    patience.as_secs()
                )));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn keep_tail(mut stderr: ChildStderr, tail: Arc<Mutex<VecDeque<u8>>>) {
    let mut chunk = [0; 1024];
    while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
        let Ok(mut tail) = tail.lock() else { return };
        tail.extend(&chunk[..length]);
        let over = tail.len().saturating_sub(TAIL_MAX);
        tail.drain(..over);
    }
}
