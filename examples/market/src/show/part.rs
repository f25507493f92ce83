//! A part of the market as a process: its log, its end, and its return from the dead.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command as TokioCommand};
use tokio::time::timeout;

use crate::Result;
use crate::life::{READY, say};

/// The first time Python's packages may have to be fetched before; that is not counted.
const START: Duration = Duration::from_secs(60);
/// A feed may wait that long for its last acknowledgments.
const STOP: Duration = Duration::from_secs(45);
const LOOK: Duration = Duration::from_millis(10);

/// A process that ends when this one does, however that happens: its standard input closes.
#[derive(Debug)]
pub(super) struct Part {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    log: PathBuf,
    child: Child,
}

impl Part {
    /// Starts it and waits until it says that it is ready.
    pub(super) async fn start(name: &str, command: Command, folder: &Path) -> Result<Self> {
        let number = (1..).map(|number| folder.join(format!("{name}-{number}.log")));
        let log = number
            .into_iter()
            .find(|log| !log.exists())
            .unwrap_or_else(|| folder.join("log"));
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

    /// What follows `text` in the first line of its log that begins with it.
    pub(super) fn said(&self, text: &str) -> Option<String> {
        let log = std::fs::read_to_string(&self.log).ok()?;
        let mut lines = log.lines();
        lines.find_map(|line| line.strip_prefix(text).map(str::to_owned))
    }

    /// Arguments for its next start.
    pub(super) fn add_arguments<'a>(&mut self, arguments: impl IntoIterator<Item = &'a str>) {
        self.arguments
            .extend(arguments.into_iter().map(OsString::from));
    }

    /// Starts it again if it has died.
    pub(super) async fn revive(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let mut command = TokioCommand::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.variables.iter().cloned());
        self.child = spawn(command, &self.log)?;
        let (name, pid) = (&self.name, self.pid());
        say(&format!(
            "{name} has died ({status}); it is started again as {pid}"
        ));
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        match timeout(STOP, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(ExitStatus::success) => Ok(()),
            Ok(status) => {
                say(&format!(
                    "{} ended with {}: {}",
                    self.name,
                    status?,
                    self.last_words()
                ));
                Ok(())
            }
            Err(_) => {
                say(&format!(
                    "{} does not end within {STOP:?} and is killed",
                    self.name
                ));
                Ok(self.child.kill().await?)
            }
        }
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        while self.said(READY).is_none() {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() > deadline {
                let ended = status.map_or("is not ready".to_owned(), |status| {
                    format!("ended with {status}")
                });
                return Err(format!("{} {ended}: {}", self.name, self.last_words()).into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n    ")
    }
}

fn spawn(mut command: TokioCommand, log: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    command
        .arg("--tied")
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    // Ctrl-C is for this process, which then ends the others in order.
    #[cfg(unix)]
    command.process_group(0);
    Ok(command.spawn()?)
}
