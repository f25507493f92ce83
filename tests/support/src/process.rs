//! A child process under test: collects its output, sends signals, and kills it on drop.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::child::{GuardedChild, POLL_INTERVAL, Signal};
use crate::error::Error;

/// Maximum length of a line that is kept, in bytes.
const MAX_LINE_LEN: usize = 64 * 1024;

/// A child process whose output is collected and which is killed on drop.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: GuardedChild,
    output: Arc<Output>,
}

impl Process {
    /// Starts `command` without standard input, and collects its standard output and standard error.
    ///
    /// # Errors
    ///
    /// If the program does not start.
    pub fn spawn(mut command: Command) -> Result<Self, Error> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = GuardedChild::spawn(&mut command, None)?;
        let output = Arc::new(Output::default());
        let pipes = child.child();
        if let Some(pipe) = pipes.stdout.take() {
            output.collect(Stream::Out, pipe);
        }
        if let Some(pipe) = pipes.stderr.take() {
            output.collect(Stream::Err, pipe);
        }
        Ok(Self {
            name: command.get_program().to_string_lossy().into_owned(),
            child,
            output,
        })
    }

    /// Returns the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits for at most `limit` until a line of either stream contains `text`, and returns the first
    /// such line.
    ///
    /// # Errors
    ///
    /// If there is no such line in time, or the streams end before; the text includes the output.
    pub async fn wait_for_line(&self, text: &str, limit: Duration) -> Result<String, Error> {
        let (name, output, wanted) = (self.name.clone(), Arc::clone(&self.output), text.to_owned());
        let waiting = tokio::task::spawn_blocking(move || output.wait_for(&name, &wanted, limit));
        waiting
            .await
            .map_err(|error| Error::new(format!("cannot wait for {text:?}: {error}")))?
    }

    /// [`wait_for_line`](Self::wait_for_line) for code without a runtime.
    ///
    /// # Errors
    ///
    /// As [`wait_for_line`](Self::wait_for_line).
    pub fn wait_for_line_blocking(&self, text: &str, limit: Duration) -> Result<String, Error> {
        self.output.wait_for(&self.name, text, limit)
    }

    /// Returns the standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.output.text(|stream| stream == Stream::Out)
    }

    /// Returns standard output and standard error so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.text(|_| true)
    }

    /// Sends SIGTERM; on Windows kills the process.
    ///
    /// # Errors
    ///
    /// If the operating system rejects it.
    pub fn terminate(&mut self) -> Result<(), Error> {
        self.child.signal(Signal::Terminate)
    }

    /// Sends SIGINT, as Ctrl-C does; on Windows kills the process.
    ///
    /// # Errors
    ///
    /// If the operating system rejects it.
    pub fn interrupt(&mut self) -> Result<(), Error> {
        self.child.signal(Signal::Interrupt)
    }

    /// Kills the process (SIGKILL) and waits until it has ended.
    ///
    /// # Errors
    ///
    /// If the operating system rejects it.
    pub fn kill(&mut self) -> Result<ExitStatus, Error> {
        self.child.kill()
    }

    /// Waits for at most `limit` until the process has ended and all its output is collected.
    ///
    /// # Errors
    ///
    /// If it still runs then; the text includes its output.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus, Error> {
        let deadline = Instant::now() + limit;
        loop {
            match self.exit_with_output()? {
                Some(exit) => return Ok(exit),
                None if Instant::now() >= deadline => return Err(self.still_running(limit)),
                // sleep: as in `GuardedChild::wait`.
                None => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// [`wait`](Self::wait) for code without a runtime.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_blocking(&mut self, limit: Duration) -> Result<ExitStatus, Error> {
        let deadline = Instant::now() + limit;
        loop {
            match self.exit_with_output()? {
                Some(exit) => return Ok(exit),
                None if Instant::now() >= deadline => return Err(self.still_running(limit)),
                // sleep: as in `GuardedChild::wait`.
                None => thread::sleep(POLL_INTERVAL),
            }
        }
    }

    fn exit_with_output(&mut self) -> Result<Option<ExitStatus>, Error> {
        let exit = self.child.exit()?;
        Ok(exit.filter(|_| self.output.lock().open == 0))
    }

    fn still_running(&self, limit: Duration) -> Error {
        Error::new(format!(
            "{} still runs after {limit:?}; {}",
            self.name,
            self.output.lock().shown()
        ))
    }
}

/// Lines of both pipes, in the order of arrival.
#[derive(Debug, Default)]
struct Output {
    collected: Mutex<Collected>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Collected {
    lines: Vec<(Stream, String)>,
    /// Number of pipes that have not ended.
    open: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stream {
    Out,
    Err,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the pipe on a thread of its own, so that the child never blocks on a full pipe.
    fn collect(self: &Arc<Self>, stream: Stream, pipe: impl Read + Send + 'static) {
        self.lock().open += 1;
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(read_line(&mut pipe, &mut line), Ok(length) if length > 0) {
                let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
                output.lock().lines.push((stream, text));
                output.changed.notify_all();
                line.clear();
            }
            output.lock().open -= 1;
            output.changed.notify_all();
        });
    }

    fn wait_for(&self, name: &str, text: &str, limit: Duration) -> Result<String, Error> {
        let deadline = Instant::now() + limit;
        let mut collected = self.lock();
        loop {
            if let Some((_, line)) = collected.lines.iter().find(|(_, line)| line.contains(text)) {
                return Ok(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if collected.open == 0 || left.is_zero() {
                let when = if collected.open == 0 {
                    "ended".into()
                } else {
                    format!("ran {limit:?}")
                };
                let shown = collected.shown();
                return Err(Error::new(format!(
                    "{name} {when} without a line with {text:?}; {shown}"
                )));
            }
            let waited = self.changed.wait_timeout(collected, left);
            (collected, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn text(&self, wanted: impl Fn(Stream) -> bool) -> String {
        let collected = self.lock();
        let lines = collected.lines.iter().filter(|(stream, _)| wanted(*stream));
        lines.map(|(_, line)| format!("{line}\n")).collect()
    }
}

impl Collected {
    fn shown(&self) -> String {
        let lines: String = self
            .lines
            .iter()
            .map(|(_, line)| format!("\n    {line}"))
            .collect();
        if lines.is_empty() {
            "it printed nothing".to_owned()
        } else {
            format!("it printed:{lines}")
        }
    }
}

/// Reads a line, appends its beginning to `line`, and returns how many bytes it has; 0 at the end.
///
/// A child may print without end, so the rest of a line that is longer than [`MAX_LINE_LEN`] is read and dropped.
fn read_line(pipe: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut length = 0;
    loop {
        let read = match pipe.fill_buf() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let end = read.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(read.len(), |end| end + 1);
        let room = MAX_LINE_LEN.saturating_sub(line.len());
        line.extend_from_slice(&read[..count.min(room)]);
        pipe.consume(count);
        length += count;
        if end.is_some() || count == 0 {
            return Ok(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_long_line_is_dropped_and_the_next_line_is_whole() {
        let long = "x".repeat(3 * MAX_LINE_LEN);
        let text = format!("{long}\nnext\nlast");
        let mut pipe = BufReader::with_capacity(7, text.as_bytes());
        let mut read = || {
            let mut line = Vec::new();
            let length = read_line(&mut pipe, &mut line).unwrap();
            (
                length,
                line.len(),
                line.ends_with(b"t\n") || line.ends_with(b"t"),
            )
        };
        assert_eq!(read(), (long.len() + 1, MAX_LINE_LEN, false));
        assert_eq!(read(), (5, 5, true));
        assert_eq!(read(), (4, 4, true));
        assert_eq!(read(), (0, 0, false));
    }
}
