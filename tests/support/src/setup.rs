//! The start of a nats-server: its folder, its configuration, its port, and the error if it fails.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::binary::{fetch_nats_server_release, nats_server};
use crate::child::{GuardedChild, POLL_INTERVAL, Signal};
use crate::error::Error;

/// Limit for a start, which takes about 30 ms on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Limit for an end after SIGTERM, in which the server closes its JetStream files.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Settings that a test can choose.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerOptions {
    pub(crate) config: String,
    pub(crate) args: Vec<String>,
    pub(crate) port: Option<u16>,
    pub(crate) max_payload: Option<usize>,
    pub(crate) jetstream: bool,
    pub(crate) release: Option<String>,
}

/// Parts that all restarts share: the folder with configuration, log and JetStream files.
#[derive(Debug)]
pub(crate) struct ServerSetup {
    binary: PathBuf,
    options: ServerOptions,
    folder: TempDir,
}

impl ServerSetup {
    pub(crate) fn write(options: ServerOptions) -> Result<Self, Error> {
        let cannot = |source| Error::io("cannot prepare a folder for nats-server", source);
        let binary = match &options.release {
            Some(release) => fetch_nats_server_release(release)?,
            None => nats_server()?,
        };
        let folder = tempfile::Builder::new()
            .prefix("micro-nats-")
            .tempdir()
            .map_err(cannot)?;
        let setup = Self {
            binary,
            options,
            folder,
        };
        fs::create_dir(setup.ports_folder()).map_err(cannot)?;
        setup.write_config(&setup.options.config)?;
        Ok(setup)
    }

    /// Writes the configuration file, with these lines besides those of the other options.
    pub(crate) fn write_config(&self, lines: &str) -> Result<(), Error> {
        let cannot = |source| Error::io("cannot write the configuration of nats-server", source);
        fs::write(self.path("nats.conf"), self.config(lines)).map_err(cannot)
    }

    /// Starts the server on the chosen port or a free one.
    pub(crate) fn start(&self) -> Result<(GuardedChild, u16), Error> {
        let mut running = self.spawn(self.options.port)?;
        let port = self.wait_for_port(&mut running, Instant::now() + START_TIMEOUT)?;
        Ok((running, port))
    }

    /// Starts the server on its previous port, and retries until the deadline: while the server was down,
    /// an outgoing connection of another process may have taken the port for a moment.
    pub(crate) fn restart(
        &self,
        old: Option<GuardedChild>,
        port: u16,
    ) -> Result<GuardedChild, Error> {
        if let Some(old) = old {
            stop(old)?;
        }
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let mut running = self.spawn(Some(port))?;
            match self.wait_for_port(&mut running, deadline) {
                Ok(_) => return Ok(running),
                Err(error) if Instant::now() >= deadline => return Err(error),
                // sleep: the release of a port by another process sends no event.
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ports_folder(&self) -> PathBuf {
        self.path("ports")
    }

    fn config(&self, lines: &str) -> String {
        let mut config = String::new();
        if let Some(bytes) = self.options.max_payload {
            let _ = writeln!(config, "max_payload: {bytes}");
        }
        if self.options.jetstream {
            let _ = writeln!(
                config,
                "jetstream {{ store_dir: {:?} }}",
                self.path("jetstream")
            );
        }
        config + lines
    }

    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.path("nats.log")).unwrap_or_default();
        // The server logs a NUL byte of a client unescaped, which would make a test's output a binary file.
        String::from_utf8_lossy(&bytes).replace('\0', "\\0")
    }

    fn spawn(&self, port: Option<u16>) -> Result<GuardedChild, Error> {
        let cannot = |source| Error::io("cannot prepare the log of nats-server", source);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("nats.log"));
        let log = log.map_err(cannot)?;
        let mut command = Command::new(&self.binary);
        command
            .args(["--addr", "127.0.0.1", "--port"])
            .arg(port.map_or_else(|| "-1".to_owned(), |port| port.to_string()))
            .arg("--config")
            .arg(self.path("nats.conf"))
            .arg("--ports_file_dir")
            .arg(self.ports_folder())
            .args(&self.options.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(cannot)?)
            .stderr(log);
        GuardedChild::spawn(&mut command, Some(self.folder.path()))
    }

    /// Waits for the ports file, which the server writes once it listens.
    fn wait_for_port(&self, running: &mut GuardedChild, deadline: Instant) -> Result<u16, Error> {
        loop {
            if let Some(port) = port_in(&self.ports_folder(), running.pid()) {
                return Ok(port);
            }
            let problem = match running.exit()? {
                Some(exit) => format!("nats-server did not start and ended with {exit}"),
                None if Instant::now() >= deadline => "nats-server is not ready in time".to_owned(),
                None => {
                    // sleep: the creation of the ports file sends no event.
                    thread::sleep(POLL_INTERVAL);
                    continue;
                }
            };
            return Err(self.failure(&problem));
        }
    }

    fn failure(&self, problem: &str) -> Error {
        Error::new(format!(
            "{problem}\nbinary: {}\nconfiguration:\n{}log:\n{}",
            self.binary.display(),
            indent(&self.config(&self.options.config)),
            indent(&self.log())
        ))
    }
}

/// Stops a server in order; one that does not end in time is killed when `running` is dropped.
pub(crate) fn stop(mut running: GuardedChild) -> Result<(), Error> {
    running.signal(Signal::Continue)?;
    running.signal(Signal::Terminate)?;
    match running.wait(STOP_TIMEOUT)? {
        Some(_) => Ok(()),
        None => Err(Error::new(format!(
            "nats-server did not stop within {STOP_TIMEOUT:?}"
        ))),
    }
}

/// Reads `{"nats":["nats://127.0.0.1:4222"],…}` from the ports file of the process `pid`; a server that
/// was killed leaves its file behind. Returns `None` for an incomplete file.
fn port_in(folder: &Path, pid: u32) -> Option<u16> {
    let ending = format!("_{pid}.ports");
    let file = fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .ends_with(&ending)
            .then(|| entry.path())
    })?;
    client_port(&fs::read_to_string(file).ok()?)
}

fn client_port(json: &str) -> Option<u16> {
    let clients = json
        .trim_end()
        .strip_suffix('}')?
        .split_once(r#""nats":[""#)?
        .1;
    let (url, _) = clients.split_once('"')?;
    url.rsplit_once(':')?.1.parse().ok()
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_a_complete_ports_file() {
        let check = |json: &str, port: Option<u16>| assert_eq!(client_port(json), port, "{json}");
        check(r#"{"nats":["nats://127.0.0.1:37251"]}"#, Some(37251));
        check(
            r#"{"nats":["nats://127.0.0.1:1"],"monitoring":["http://127.0.0.1:2"]}"#,
            Some(1),
        );
        check(
            r#"{"monitoring":["http://127.0.0.1:2"],"nats":["nats://127.0.0.1:1"]}"#,
            Some(1),
        );
        check(r#"{"nats":["nats://127.0.0.1:372"#, None);
        check("", None);
    }
}
