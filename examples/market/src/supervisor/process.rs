//! A part of the market as a child process: its start, its log, its restart and its end.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command as TokioCommand};
use tokio::time::timeout;

use crate::Result;
use crate::lifecycle::{READY, print_line};

/// Limit for a part to print that it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Limit for a part to end; a feed may have to wait for its last acknowledgments.
const STOP_TIMEOUT: Duration = Duration::from_secs(45);
/// Interval at which the log of a part that starts is read.
const LOG_POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Number of log lines that are printed for a part that failed.
const LOG_TAIL_LINES: usize = 5;

/// A child process whose standard input is a pipe. It ends when the pipe closes, so also when this
/// process is killed.
#[derive(Debug)]
pub(super) struct PartProcess {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    log: PathBuf,
    child: Child,
}

impl PartProcess {
    /// Starts the process, and waits until it has printed that it is ready.
    pub(super) async fn start(name: &str, command: Command, folder: &Path) -> Result<Self> {
        let mut logs = (1..).map(|number| folder.join(format!("{name}-{number}.log")));
        let log = logs.find(|log| !log.exists());
        let log = log.unwrap_or_else(|| folder.join("log"));
        let variables = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let mut part = Self {
            name: name.to_owned(),
            program: command.get_program().into(),
            arguments: command.get_args().map(Into::into).collect(),
            variables: variables.collect(),
            child: spawn(TokioCommand::from(command), &log)?,
            log,
        };
        part.wait_until_ready().await?;
        Ok(part)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Returns the rest of the first log line that begins with `prefix`.
    pub(super) fn find_in_log(&self, prefix: &str) -> Option<String> {
        let log = std::fs::read_to_string(&self.log).ok()?;
        let mut lines = log.lines();
        lines.find_map(|line| line.strip_prefix(prefix).map(str::to_owned))
    }

    /// Adds arguments for the restarts of this part.
    pub(super) fn add_arguments<'a>(&mut self, arguments: impl IntoIterator<Item = &'a str>) {
        self.arguments
            .extend(arguments.into_iter().map(OsString::from));
    }

    /// Starts the process again if it has exited.
    pub(super) async fn restart_if_exited(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let mut command = TokioCommand::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.variables.iter().cloned());
        self.child = spawn(command, &self.log)?;
        let (name, pid) = (&self.name, self.pid());
        print_line(&format!("{name} exited ({status}); restarted as pid {pid}"));
        Ok(())
    }

    /// Closes the standard input of the process, and waits until it has ended.
    pub(super) async fn stop(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let name = &self.name;
        match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(ExitStatus::success) => Ok(()),
            Ok(status) => {
                let (status, tail) = (status?, self.log_tail());
                print_line(&format!("{name} ended with {status}: {tail}"));
                Ok(())
            }
            Err(_) => {
                print_line(&format!(
                    "{name} does not end within {STOP_TIMEOUT:?} and is killed"
                ));
                Ok(self.child.kill().await?)
            }
        }
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while self.find_in_log(READY).is_none() {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() > deadline {
                let failure = status.map_or("is not ready".to_owned(), |status| {
                    format!("ended with {status}")
                });
                return Err(format!("{} {failure}: {}", self.name, self.log_tail()).into());
            }
            tokio::time::sleep(LOG_POLL_INTERVAL).await;
        }
        Ok(())
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n    ")
    }
}

fn spawn(mut command: TokioCommand, log: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    command
        .arg("--exit-on-stdin-eof")
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    // A process group of its own, so that Ctrl-C in the terminal reaches this process alone, which then
    // ends the parts in order.
    #[cfg(unix)]
    command.process_group(0);
    Ok(command.spawn()?)
}
