//! `Bus`: the public handle of a connection, with the subject prefix under which it calls and publishes.

use std::fmt;
use std::sync::Arc;

use async_nats::{Client, ConnectOptions, Subject};
use futures_util::StreamExt as _;

use crate::bus::connection::{Carrier, Connection, NatsCarrier, closed};
use crate::bus::in_process::InProcess;
use crate::bus::mux::Mux;
use crate::bus::nats;
use crate::bus::nats::ConnectionEvents;
use crate::bus::outbox;
use crate::bus::outbox::Outbox;
use crate::error::{Error, ErrorKind};
use crate::subject;
use crate::wire;
use crate::wire::subject::INBOX;

/// A connection that calls and events travel on.
///
/// Cheap to clone: clones share one connection, and so do the clients and servers made from them. The
/// connection closes when the last of all these is dropped; calls in flight then fail.
///
/// A bus runs over NATS ([`connect`](Self::connect), [`connect_with`](Self::connect_with),
/// [`from_env`](Self::from_env), [`from_nats`](Self::from_nats)) or inside the process
/// ([`in_process`](Self::in_process)), with the same subjects, queue groups, limits and errors.
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
    /// Connects to NATS, and subscribes to the inbox in which replies arrive.
    ///
    /// `url` may name several servers, separated by commas, each with user and password or a token before an
    /// `@`. The connection sends a PING every 15 s and reconnects for ever, after at most 4 s with jitter.
    /// When it is lost, every call in flight fails with [`Code::Unavailable`](crate::Code::Unavailable) at
    /// once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] when no server can be reached or all reject the credentials. The message names
    /// `url` without its secrets.
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
    /// Ping interval, reconnect delay and event callback of the options are replaced: through the callback
    /// the bus learns of rejected subscriptions and of a lost connection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] as for [`connect`](Self::connect).
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

    /// Shares a connection that exists already; prefer [`Bus::connect_with`].
    ///
    /// The event callback of such a connection was fixed when it was made, so the bus receives no events: a
    /// subject that a server may not subscribe to is not an error at its start, and calls in flight when
    /// the connection is lost end only at their deadline.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] when the connection is closed.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = micro_runtime::async_nats::connect("127.0.0.1:4222").await?;
    /// let bus = micro_runtime::Bus::from_nats(client).await?;
    /// # Ok(()) }
    /// ```
    pub async fn from_nats(client: Client) -> Result<Self, Error> {
        Self::over(client, None).await
    }

    /// Returns a bus inside this process, for tests and examples: no server, the same behavior.
    ///
    /// Subjects, wildcards, queue groups, replies without responders and the limit of 1 MiB for one message
    /// are those of NATS. Each call makes a bus of its own; clones of it reach each other. Durable events
    /// (feature `jetstream`) need a server.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let bus = micro_runtime::Bus::in_process();
    /// let mut events = bus.subscribe_raw("evt.demo.*").open().await?;
    /// bus.publish_raw("evt.demo.a", "hello").await?;
    /// assert_eq!(events.next().await.unwrap().payload, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn in_process() -> Self {
        let mux = Arc::new(Mux::new(&wire::subject::new_inbox(INBOX)));
        let carrier = Carrier::InProcess(Arc::new(InProcess::new(Arc::clone(&mux))));
        Self {
            connection: Arc::new(Connection::new(carrier, mux)),
            prefix: None,
        }
    }

    /// Puts tokens before every call, instance and event subject of this bus (docs/PROTOCOL.md, "Names").
    ///
    /// Buses with different prefixes on one NATS account do not reach each other's services or events.
    /// Discovery (`$SRV`), inboxes and the API of JetStream have no prefix. A prefix may have several tokens
    /// (`team.staging`), and replaces one set before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] for a prefix that is no literal subject: with a wildcard, white space, an
    /// empty token, or a token that begins with `_` or `$`.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{Bus, ErrorKind};
    ///
    /// let error = Bus::in_process().with_prefix("a.*").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Configuration);
    /// ```
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

    /// Returns the tokens before every call and event subject; `None` without a prefix.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// Returns whether this bus runs inside this process, without NATS.
    #[must_use]
    pub fn is_in_process(&self) -> bool {
        matches!(self.connection.carrier, Carrier::InProcess(_))
    }

    /// Returns the NATS client, to use NATS beside this library; `None` inside one process.
    #[must_use]
    pub fn nats(&self) -> Option<&Client> {
        match &self.connection.carrier {
            Carrier::Nats(nats) => Some(&nats.client),
            Carrier::InProcess(_) => None,
        }
    }

    /// Returns the number of messages that arrived in the inbox of this connection and that no call waited for,
    /// since it was made.
    ///
    /// Replies that come after the deadline of their call, second replies to one request and forged ones are all
    /// dropped, and counted here and in the metric `rpc.client.replies.unmatched`: a reply subject is used once,
    /// so they name a call that has ended, or none. A few are usual wherever calls time out; one for each call
    /// means that two responders serve the subject, as two queue groups do.
    ///
    /// # Examples
    ///
    /// ```
    /// let bus = micro_runtime::Bus::in_process();
    /// assert_eq!(bus.unmatched_replies(), 0);
    /// ```
    #[must_use]
    pub fn unmatched_replies(&self) -> u64 {
        self.connection.mux().unmatched()
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Returns a subject with the prefix of the bus before it.
    pub(crate) fn subject(&self, name: &str) -> Subject {
        wire::subject::with_prefix(self.prefix(), name)
    }

    /// Subscribes to the inbox, and starts the two tasks of a connection: one reads the inbox, the other
    /// sends the outbox. Both are aborted when the connection is dropped.
    ///
    /// The inbox task never waits for anything but the next message, since every reply and every frame of
    /// the connection passes through it; see [`FrameSink`](crate::bus::FrameSink).
    async fn over(client: Client, events: Option<Arc<ConnectionEvents>>) -> Result<Self, Error> {
        let inbox = nats::new_inbox(&client);
        let mux = Arc::new(Mux::new(&inbox));
        let mut replies = client
            .subscribe(wire::subject::reply_pattern(&inbox))
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
        let carrier = Carrier::Nats(NatsCarrier {
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
    fn a_prefix_that_is_no_literal_subject_is_rejected() {
        for prefix in ["", "a b", "a.*", ">", "a..b", "_x", "$SRV"] {
            let error = Bus::in_process().with_prefix(prefix).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{prefix}");
        }
    }
}
