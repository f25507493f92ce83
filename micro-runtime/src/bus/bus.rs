//! `Bus`: the public handle of a connection, with the subject prefix under which it calls and publishes.

use std::fmt;
use std::sync::Arc;

use async_nats::Subject;

use crate::bus::connect_options::ConnectOptions;
use crate::bus::connection::{Carrier, Connection};
use crate::bus::connections::Connections;
use crate::bus::in_process::InProcess;
use crate::bus::mux::Mux;
use crate::bus::refusals::Refusals;
use crate::bus::runtime::NoRuntime;
use crate::bus::server_urls::ServerUrls;
use crate::error::{Error, ErrorKind};
use crate::subject;
use crate::wire;
use crate::wire::subject::INBOX;

/// A connection that calls and events travel on.
///
/// Cheap to clone: clones share one connection, and so do the clients and servers made from them; with
/// [`ConnectOptions::separate_connections`] they share three. The connection closes when the last of all these is
/// dropped; calls in flight then fail.
///
/// A bus runs over NATS ([`connect`](Self::connect), [`connect_with`](Self::connect_with),
/// [`from_env`](Self::from_env)) or inside the process ([`in_process`](Self::in_process)), with the same subjects,
/// queue groups, limits and errors.
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
    pub(super) connections: Connections,
    pub(super) prefix: Option<Arc<str>>,
}

impl Bus {
    /// Connects to NATS, and subscribes to the inbox in which replies arrive.
    ///
    /// `url` may name several servers, separated by commas. It may have a login: `nats://user:password@host:4222`, or
    /// `nats://token@host:4222`, percent-encoded where they contain `#`, `,`, `/`, `:`, `?` or `@`. Servers without one
    /// get that of the others. A login appears in no log and in no error.
    ///
    /// The connection is made anew for ever, after at most 2 s with jitter, and counts as lost when NATS is silent
    /// ([`ConnectOptions`] has the times). Every call in flight then fails with
    /// [`Code::Unavailable`](crate::Code::Unavailable) at once. Before a nats-server of a cluster stops in order ("lame
    /// duck"), the connection moves to another one, and nothing fails.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] when no server takes the connection, or the nats-server is older than 2.11. The message
    /// names the servers and the cause: nothing listens, another program than nats-server does, the host is not known,
    /// the login is refused, TLS fails, a limit of connections is reached; with several servers that of the last one.
    /// [`ErrorKind::Configuration`] for a `url` that is none, for several logins, and for an inbox prefix that is a
    /// pattern or no subject; [`ErrorKind::Runtime`] outside of a tokio runtime.
    ///
    /// An older server that a later reconnect finds, as in the middle of an upgrade, is used, and a warning names it.
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

    /// Connects with options: login, TLS, a name, an inbox prefix, times.
    ///
    /// A login in `url` replaces user and password of the options, or their token, as in the Go client of NATS.
    /// Credentials, an nkey and a JWT of the options go before it.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use micro_runtime::{Bus, ConnectOptions};
    ///
    /// # async fn run() -> Result<(), micro_runtime::Error> {
    /// let options = ConnectOptions::new().name("billing").token("s3cret");
    /// let bus = Bus::connect_with(options, "tls://nats.example.com").await?;
    /// # Ok(()) }
    /// ```
    pub async fn connect_with(
        options: ConnectOptions,
        url: impl AsRef<str>,
    ) -> Result<Self, Error> {
        let servers = ServerUrls::parse(url.as_ref())?;
        NoRuntime::check().map_err(|none| {
            none.into_error(format_args!("nothing connects to NATS at {servers}"))
        })?;
        let options = options.with_login_of(&servers);
        Ok(Self {
            connections: Connections::connect(options, &servers).await?,
            prefix: None,
        })
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
        let refusals = Arc::new(Refusals::new(Arc::clone(&mux)));
        Self::on(Connection::new(carrier, mux, refusals))
    }

    /// Puts tokens before every call, instance and event subject of this bus (docs/PROTOCOL.md, NAME-2).
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
        self.calling().is_in_process()
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
        let connections = self.connections.each();
        connections.map(|one| one.mux().unmatched()).sum()
    }

    /// Returns the number of messages that NATS refused to take on this connection and that no call waited for:
    /// events of core NATS ([`publish`](Self::publish), [`publish_raw`](Self::publish_raw)), whose publisher has no
    /// other way to learn of it.
    ///
    /// For 100 ms after a refusal further events to the same subject are not sent, and counted here at once; only one
    /// after 50 ms is, as a trial. So after permissions were extended events may be lost for 100 ms more; where a
    /// refusal takes longer than 25 ms, as in an overload, for four times as long as that, up to 1 s. Of those that
    /// were sent it is a lower bound: async-nats drops errors of NATS while 128 wait, so that of a thousand refused at
    /// once about a half is counted.
    ///
    /// The log has the subject of the first, and then of one each 30 s; the metric is `nats.client.refused`. Always 0
    /// for a bus of `from_nats` (feature `async-nats`), which receives no events of its connection.
    ///
    /// # Examples
    ///
    /// ```
    /// let bus = micro_runtime::Bus::in_process();
    /// assert_eq!(bus.refused_events(), 0);
    /// ```
    #[must_use]
    pub fn refused_events(&self) -> u64 {
        let connections = self.connections.each();
        connections.map(|one| one.refusals().refused_events()).sum()
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Returns the connection of calls, queries, and what is published.
    pub(crate) fn calling(&self) -> &Arc<Connection> {
        &self.connections.calling
    }

    /// Returns the connection of subscriptions to subjects that peers choose.
    pub(crate) fn serving(&self) -> &Arc<Connection> {
        &self.connections.serving
    }

    /// Returns the connection of durable consumers and replays.
    #[cfg(feature = "jetstream")]
    pub(crate) fn consuming(&self) -> &Arc<Connection> {
        &self.connections.consuming
    }

    /// Returns a subject with the prefix of the bus before it.
    pub(crate) fn subject(&self, name: &str) -> Subject {
        wire::subject::with_prefix(self.prefix(), name)
    }

    /// Returns a bus with one connection for everything.
    pub(super) fn on(connection: Connection) -> Self {
        Self {
            connections: Connections::of_one(connection),
            prefix: None,
        }
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let carrier = match self.calling().carrier {
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
