//! A child process that is controlled by lines on its standard input and killed on drop.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::client::Figures;
use crate::failure::Result;

/// A build of this program in another role.
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    /// Closed on drop, and by the kernel if the driver dies: the child ends with its standard input.
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Child {
    /// Starts a build of this program in another role; standard error is shared with the driver.
    pub(crate) fn spawn(program: &Path, args: &[&str]) -> Result<Self> {
        let mut process = Command::new(program)
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

    /// Returns the next line of its standard output.
    pub(crate) fn line(&self, limit: Duration) -> Result<String> {
        self.lines.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                format!("`{}` said nothing for {limit:?}", self.name).into()
            }
            RecvTimeoutError::Disconnected => format!("`{}` ended early", self.name).into(),
        })
    }

    /// Requests a measurement and waits for its figures.
    pub(crate) fn request(&mut self, request: &str, limit: Duration) -> Result<Figures> {
        if let Some(input) = &mut self.input {
            writeln!(input, "{request}")?;
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
