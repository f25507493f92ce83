//! `Bus`: where calls and events travel, over NATS or inside one process.

use std::fmt;
use std::sync::Arc;

use async_nats::{Client, ConnectOptions, Subject};
use futures_util::StreamExt as _;

use crate::bus::connection::{Carrier, Connection, Nats, closed};
use crate::bus::in_process::InProcess;
use crate::bus::mux::Mux;
use crate::bus::nats;
use crate::bus::nats::ConnectionEvents;
use crate::bus::outbox;
use crate::bus::outbox::Outbox;
use crate::error::{Error, ErrorKind};
use crate::subject;

/// The bus that calls and events travel on. Cheap to clone; the last clone closes it.
///
/// # Examples
///
/// ```
/// use micro_runtime::Bus;
///
/// let bus = Bus::in_process().with_prefix("staging")?;
/// assert_eq!(bus.prefix(), Some("staging"));
/// # Ok::<(), micro_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct Bus {
    pub(super) connection: Arc<Connection>,
    pub(super) prefix: Option<Arc<str>>,
}

impl Bus {
    /// Connects to NATS, and subscribes to the inbox that replies arrive in.
    ///
    /// Pings every 15 s, reconnects for ever with jitter. `url` may hold user, password or token,
    /// and several servers, separated by commas.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] when no server can be reached or none lets us in.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), micro_runtime::Error> {
    /// let bus = micro_runtime::Bus::connect("nats://127.0.0.1:4222").await?;
    /// # Ok(()) }
    /// ```
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, Error> {
        Self::connect_with(ConnectOptions::new(), url).await
    }

    /// Connects with options: credentials, TLS, a name, an inbox prefix.
    ///
    /// Ping interval, reconnect delay and event callback of the options are replaced: the bus
    /// learns through the callback what NATS refuses and when the connection is lost.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] when no server can be reached or none lets us in.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use micro_runtime::{Bus, ConnectOptions};
    ///
    /// # async fn run() -> Result<(), micro_runtime::Error> {
    /// let options = ConnectOptions::new().name("billing").token("s3cret".into());
    /// let bus = Bus::connect_with(options, "tls://nats.example.com").await?;
    /// # Ok(()) }
    /// ```
    pub async fn connect_with(
        options: ConnectOptions,
        url: impl AsRef<str>,
    ) -> Result<Self, Error> {
        let url = url.as_ref();
        let events = Arc::new(ConnectionEvents::new());
        let client = nats::connect(options, url, Arc::clone(&events))
            .await
            .map_err(|error| {
                let message = format!(
                    "cannot connect to NATS at {}; is a nats-server running there?",
                    nats::without_secrets(url)
                );
                Error::new(ErrorKind::Connect, message).with_source(error)
            })?;
        Self::over(client, Some(events)).await
    }

    /// Shares a connection that exists already.
    ///
    /// What NATS tells through the callback of that connection stays unseen: a subject that a
    /// server may not subscribe to is not an error at its start, and calls in flight when the
    /// connection is lost end at their deadline. Prefer [`Bus::connect_with`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] when the connection is closed.
    pub async fn from_nats(client: Client) -> Result<Self, Error> {
        Self::over(client, None).await
    }

    /// Makes a bus inside this process: no server, the same behavior. For tests and examples.
    #[must_use]
    pub fn in_process() -> Self {
        let mux = Arc::new(Mux::new(&format!("_INBOX.{}", nuid::next())));
        let carrier = Carrier::InProcess(Arc::new(InProcess::new(Arc::clone(&mux))));
        Self {
            connection: Arc::new(Connection::new(carrier, mux)),
            prefix: None,
        }
    }

    /// Puts tokens before every call and event subject of this bus.
    ///
    /// Buses with different prefixes do not see each other, on one NATS account.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] for a prefix that is no literal subject.
    pub fn with_prefix(self, prefix: &str) -> Result<Self, Error> {
        if let Some(flaw) = subject::literal_flaw(prefix) {
            let message = format!("`{prefix}` cannot be a subject prefix: {flaw}");
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        Ok(Self {
            prefix: Some(prefix.into()),
            ..self
        })
    }

    /// The tokens before every call and event subject.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// Says whether this bus lives inside this process, without NATS.
    #[must_use]
    pub fn is_in_process(&self) -> bool {
        matches!(self.connection.carrier, Carrier::InProcess(_))
    }

    /// The NATS connection; `None` inside one process.
    #[must_use]
    pub fn nats(&self) -> Option<&Client> {
        match &self.connection.carrier {
            Carrier::Nats(nats) => Some(&nats.client),
            Carrier::InProcess(_) => None,
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// A full name with the bus's prefix before it.
    pub(crate) fn subject(&self, name: &str) -> Subject {
        match &self.prefix {
            Some(prefix) => Subject::from(format!("{prefix}.{name}")),
            None => Subject::from(name),
        }
    }

    async fn over(client: Client, events: Option<Arc<ConnectionEvents>>) -> Result<Self, Error> {
        let inbox = client.new_inbox();
        let mux = Arc::new(Mux::new(&inbox));
        let mut replies = client
            .subscribe(format!("{inbox}.*"))
            .await
            .map_err(closed)?;
        if let Some(events) = &events {
            events.attach_mux(&mux);
        }
        let inbox_task = tokio::spawn({
            let mux = Arc::clone(&mux);
            async move {
                while let Some(message) = replies.next().await {
                    mux.deliver(message);
                }
            }
        })
        .abort_handle();
        let outbox = Arc::new(Outbox::default());
        let sending = outbox::run(Arc::clone(&outbox), client.clone(), Arc::clone(&mux));
        let carrier = Carrier::Nats(Nats {
            client,
            events,
            inbox_task,
            outbox,
            outbox_task: tokio::spawn(sending).abort_handle(),
        });
        Ok(Self {
            connection: Arc::new(Connection::new(carrier, mux)),
            prefix: None,
        })
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let carrier = match self.connection.carrier {
            Carrier::Nats(_) => "NATS",
            Carrier::InProcess(_) => "in process",
        };
        f.debug_struct("Bus")
            .field("carrier", &carrier)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_breaks_routing_is_refused() {
        for prefix in ["", "a b", "a.*", ">", "a..b", "_x", "$SRV"] {
            let error = Bus::in_process().with_prefix(prefix).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{prefix}");
        }
    }
}
