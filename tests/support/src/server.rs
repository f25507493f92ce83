//! A private nats-server: on a free port, in a folder of its own, killed when dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::child::{GuardedChild, POLL_INTERVAL, Signal};
use crate::error::Error;
use crate::setup::{ServerOptions, ServerSetup, stop};

/// A running nats-server, or one that was stopped and can be started again on the same port.
#[derive(Debug)]
pub struct NatsServer {
    // Declared first, hence dropped first: the process must end before its folder is removed.
    running: Option<GuardedChild>,
    port: u16,
    setup: Arc<ServerSetup>,
}

impl NatsServer {
    /// Starts a nats-server with its defaults on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// If there is no nats-server, see [`nats_server`](crate::nats_server), or it does not start; then the
    /// text includes its log.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// [`start`](Self::start) for code without a runtime.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_blocking() -> Result<Self, Error> {
        Self::builder().start_blocking()
    }

    /// Returns a builder for other settings than the defaults.
    pub fn builder() -> NatsServerBuilder {
        NatsServerBuilder::default()
    }

    /// Returns `nats://127.0.0.1:<port>`; the same after a restart.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Returns the URL with a user and a password.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("nats://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// Returns the client port; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the process id, while the server runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(GuardedChild::pid)
    }

    /// Returns the log of the server, over all its restarts.
    #[must_use]
    pub fn log(&self) -> String {
        self.setup.log()
    }

    /// Kills the server (SIGKILL), as a crash would.
    ///
    /// # Errors
    ///
    /// If the operating system rejects the signal.
    pub fn kill(&mut self) -> Result<(), Error> {
        match self.running.take() {
            Some(mut running) => running.kill().map(drop),
            None => Ok(()),
        }
    }

    /// Stops the server in order (SIGTERM) and waits until it has ended.
    ///
    /// # Errors
    ///
    /// If it does not end within 20 s, after which it is killed.
    pub fn stop(&mut self) -> Result<(), Error> {
        match self.running.take() {
            Some(running) => stop(running),
            None => Ok(()),
        }
    }

    /// Pauses the server (SIGSTOP): connections stay open, but it reads and sends nothing.
    ///
    /// # Errors
    ///
    /// If the operating system rejects the signal, or on Windows.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.signal(Signal::Stop)
    }

    /// Ends a [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// If the operating system rejects the signal, or on Windows.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.signal(Signal::Continue)
    }

    /// Asks the server to enter lame duck mode (SIGUSR2), as `nats-server --signal ldm` does: it takes no further
    /// connection, announces that to those that exist, closes them after `lame_duck_grace_period`, and ends.
    ///
    /// # Errors
    ///
    /// If the operating system rejects the signal, or on Windows.
    pub fn enter_lame_duck_mode(&mut self) -> Result<(), Error> {
        self.signal(Signal::User2)
    }

    /// Waits for at most `limit` until the server has ended by itself.
    ///
    /// # Errors
    ///
    /// If it still runs then.
    pub async fn wait_until_ended(&mut self, limit: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        while let Some(running) = &mut self.running {
            if running.exit()?.is_some() {
                self.running = None;
            } else if Instant::now() >= deadline {
                return Err(Error::new(format!(
                    "nats-server still runs after {limit:?}"
                )));
            } else {
                tokio::time::sleep(POLL_INTERVAL).await; // sleep: as in `GuardedChild::wait`
            }
        }
        Ok(())
    }

    /// Replaces what [`config`](NatsServerBuilder::config) has set, and makes the running server read its
    /// configuration again (SIGHUP), as `nats-server --signal reload` does. Users and permissions change for
    /// connections that exist.
    ///
    /// # Errors
    ///
    /// If the file cannot be written, the operating system rejects the signal, or on Windows.
    pub fn reload(&mut self, config: &str) -> Result<(), Error> {
        self.setup.write_config(config)?;
        self.signal(Signal::Hangup)
    }

    /// Replaces the configuration, which counts from the next [`restart`](Self::restart) on.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn set_config(&mut self, config: &str) -> Result<(), Error> {
        self.setup.write_config(config)
    }

    /// Starts the server again on the same port, with the same options and JetStream folder. A server
    /// that still runs is stopped first.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), Error> {
        let (old, setup, port) = (self.running.take(), Arc::clone(&self.setup), self.port);
        self.running = Some(run_blocking(move || setup.restart(old, port)).await?);
        Ok(())
    }

    /// [`restart`](Self::restart) for code without a runtime.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn restart_blocking(&mut self) -> Result<(), Error> {
        self.running = Some(self.setup.restart(self.running.take(), self.port)?);
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        match &mut self.running {
            Some(running) => running.signal(signal),
            None => Err(Error::new("this nats-server does not run")),
        }
    }
}

/// Settings of a [`NatsServer`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `start`"]
pub struct NatsServerBuilder {
    options: ServerOptions,
}

impl NatsServerBuilder {
    /// Adds lines to the configuration file: users, permissions, accounts, limits.
    pub fn config(mut self, text: &str) -> Self {
        self.options.config.push_str(text);
        self.options.config.push('\n');
        self
    }

    /// Adds a command line argument, for example `-DV` for a log that shows the protocol.
    pub fn arg(mut self, arg: &str) -> Self {
        self.options.args.push(arg.to_owned());
        self
    }

    /// Listens on this port instead of a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.options.port = Some(port);
        self
    }

    /// Sets the maximum size of a message; the server's default is 1 MiB.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.options.max_payload = Some(bytes);
        self
    }

    /// Enables JetStream, with its files in the server's own folder.
    pub fn jetstream(mut self) -> Self {
        self.options.jetstream = true;
        self
    }

    /// Starts the nats-server of another release, as `2.11.11`, in place of the one that all tests use.
    pub fn release(mut self, release: &str) -> Self {
        self.options.release = Some(release.to_owned());
        self
    }

    /// Starts the server and returns when it accepts connections.
    ///
    /// # Errors
    ///
    /// As [`NatsServer::start`].
    pub async fn start(self) -> Result<NatsServer, Error> {
        run_blocking(move || self.start_blocking()).await
    }

    /// [`start`](Self::start) for code without a runtime.
    ///
    /// # Errors
    ///
    /// As [`NatsServer::start`].
    pub fn start_blocking(self) -> Result<NatsServer, Error> {
        let setup = ServerSetup::write(self.options)?;
        let (running, port) = setup.start()?;
        Ok(NatsServer {
            running: Some(running),
            port,
            setup: Arc::new(setup),
        })
    }
}

/// Runs code that blocks on a thread for it. While it runs, a paused tokio clock does not advance.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new("the tokio runtime is shutting down")),
        },
    }
}
