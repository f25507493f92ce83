//! A process of the run: spoken to line by line, and gone when dropped.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::worker::Figures;

/// This program again, in another part.
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    /// Closed on drop, which the child takes as its end; so it never outlives a driver that dies.
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Child {
    /// Starts it; what it says on standard error goes where ours goes.
    pub(crate) fn spawn(args: &[&str]) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (sender, lines) = channel();
        if let Some(output) = process.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self {
            name: args.join(" "),
            input: process.stdin.take(),
            process,
            lines,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next line that it prints.
    pub(crate) fn line(&self, limit: Duration) -> Result<String> {
        self.lines.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                format!("`{}` said nothing for {limit:?}", self.name).into()
            }
            RecvTimeoutError::Disconnected => format!("`{}` ended early", self.name).into(),
        })
    }

    /// Asks for figures.
    pub(crate) fn ask(&mut self, question: &str, limit: Duration) -> Result<Figures> {
        if let Some(input) = &mut self.input {
            writeln!(input, "{question}")?;
        }
        Ok(serde_json::from_str(&self.line(limit)?)?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
