//! A nats-server of one's own: on a free port, in a folder of its own, gone when dropped.

use std::sync::Arc;

use crate::child::{Guarded, Signal};
use crate::error::Error;
use crate::setup::{Options, Setup, stop};

/// A running nats-server, or one that was stopped and can be started again on the same port.
#[derive(Debug)]
pub struct NatsServer {
    // Declared first: the process must be gone before its folder is removed.
    running: Option<Guarded>,
    port: u16,
    setup: Arc<Setup>,
}

impl NatsServer {
    /// Starts one with the server's defaults on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// If there is no nats-server ([`nats_server`](crate::nats_server)) or it does not start; then the text holds its log.
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

    /// Chooses more than the defaults.
    pub fn builder() -> NatsServerBuilder {
        NatsServerBuilder::default()
    }

    /// `nats://127.0.0.1:<port>`; the same after a restart.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The URL with a user and a password in it.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("nats://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// The client port; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Guarded::pid)
    }

    /// What the server has logged so far, over all its restarts.
    #[must_use]
    pub fn log(&self) -> String {
        self.setup.log()
    }

    /// Ends it at once, as a crash would (SIGKILL).
    ///
    /// # Errors
    ///
    /// If the operating system refuses.
    pub fn kill(&mut self) -> Result<(), Error> {
        match self.running.take() {
            Some(mut running) => running.kill().map(drop),
            None => Ok(()),
        }
    }

    /// Ends it in order (SIGTERM) and waits until it is gone.
    ///
    /// # Errors
    ///
    /// If it does not end within 20 s; it is killed then.
    pub fn stop(&mut self) -> Result<(), Error> {
        match self.running.take() {
            Some(running) => stop(running),
            None => Ok(()),
        }
    }

    /// Freezes it (SIGSTOP): connections stay open, nothing moves.
    ///
    /// # Errors
    ///
    /// If the operating system refuses, or on Windows.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.signal(Signal::Stop)
    }

    /// Ends a [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// If the operating system refuses, or on Windows.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.signal(Signal::Continue)
    }

    /// Starts it again on the same port with the same options and JetStream folder; one that still
    /// runs is stopped first.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), Error> {
        let (old, setup, port) = (self.running.take(), Arc::clone(&self.setup), self.port);
        self.running = Some(unblock(move || setup.restart(old, port)).await?);
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

/// How a [`NatsServer`] is to be started.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `start`"]
pub struct NatsServerBuilder {
    options: Options,
}

impl NatsServerBuilder {
    /// Adds lines to its configuration file: users, permissions, accounts, limits.
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

    /// Refuses messages of more bytes than this (the server's default is 1 MiB).
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.options.max_payload = Some(bytes);
        self
    }

    /// Turns JetStream on; its files lie in the server's own folder.
    pub fn jetstream(mut self) -> Self {
        self.options.jetstream = true;
        self
    }

    /// Starts it and returns when it accepts connections.
    ///
    /// # Errors
    ///
    /// As [`NatsServer::start`].
    pub async fn start(self) -> Result<NatsServer, Error> {
        unblock(move || self.start_blocking()).await
    }

    /// [`start`](Self::start) for code without a runtime.
    ///
    /// # Errors
    ///
    /// As [`NatsServer::start`].
    pub fn start_blocking(self) -> Result<NatsServer, Error> {
        let setup = Setup::write(self.options)?;
        let (running, port) = setup.start()?;
        Ok(NatsServer {
            running: Some(running),
            port,
            setup: Arc::new(setup),
        })
    }
}

/// Runs waiting code where it blocks no task. It also keeps a paused tokio clock from running ahead.
async fn unblock<T: Send + 'static>(
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
