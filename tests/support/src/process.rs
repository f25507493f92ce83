//! A child process under test: wait for what it prints, ask it to end, never leave it behind.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::child::{Guarded, POLL, Signal};
use crate::error::Error;

/// A child whose output is collected and which is killed on drop.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Guarded,
    output: Arc<Output>,
}

impl Process {
    /// Starts `command` with standard output and standard error collected and no standard input.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn spawn(mut command: Command) -> Result<Self, Error> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = Guarded::spawn(&mut command, None)?;
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

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// The first line, on either stream, that contains `text`; waits for it at most `limit`.
    ///
    /// # Errors
    ///
    /// If no such line comes in time, or the streams end before; the text holds what did come.
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

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.output.text(|stream| stream == Stream::Out)
    }

    /// What it has written to standard output and standard error so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.text(|_| true)
    }

    /// Asks it to end (SIGTERM); on Windows it is killed.
    ///
    /// # Errors
    ///
    /// If the operating system refuses.
    pub fn terminate(&mut self) -> Result<(), Error> {
        self.child.signal(Signal::Terminate)
    }

    /// Asks it to end as Ctrl-C does (SIGINT); on Windows it is killed.
    ///
    /// # Errors
    ///
    /// If the operating system refuses.
    pub fn interrupt(&mut self) -> Result<(), Error> {
        self.child.signal(Signal::Interrupt)
    }

    /// Ends it at once (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    ///
    /// If the operating system refuses.
    pub fn kill(&mut self) -> Result<ExitStatus, Error> {
        self.child.kill()
    }

    /// Waits at most `limit` until it has ended and all its output is here.
    ///
    /// # Errors
    ///
    /// If it still runs then; the text holds its output.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus, Error> {
        let deadline = Instant::now() + limit;
        loop {
            match self.exit_with_output()? {
                Some(exit) => return Ok(exit),
                None if Instant::now() >= deadline => return Err(self.still_running(limit)),
                // sleep: as in `Guarded::wait`.
                None => tokio::time::sleep(POLL).await,
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
                // sleep: as in `Guarded::wait`.
                None => thread::sleep(POLL),
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

/// Lines as they come from both pipes.
#[derive(Debug, Default)]
struct Output {
    collected: Mutex<Collected>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Collected {
    lines: Vec<(Stream, String)>,
    /// Pipes that have not ended.
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

    /// Reads the pipe on a thread of its own, so that a chatty child never blocks.
    fn collect(self: &Arc<Self>, stream: Stream, pipe: impl Read + Send + 'static) {
        self.lock().open += 1;
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(length) if length > 0) {
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
