//! async-nats in the interface (feature `async-nats`): the client of a bus, and a bus over a client of the user.

use std::sync::Arc;

use async_nats::Client;

use crate::bus::bus::Bus;
use crate::bus::connection::{Carrier, Connection};
use crate::bus::link::{CurrentLink, LinkParts, watch_foreign};
use crate::bus::mux::Mux;
use crate::bus::nats;
use crate::bus::refusals::Refusals;
use crate::bus::runtime::NoRuntime;
use crate::bus::server_version;
use crate::error::Error;
use crate::wire::subject::INBOX;

impl Bus {
    /// Makes a bus over a client that exists already. Prefer [`Bus::connect_with`]: this one is for a program that has
    /// a client, and may have no second connection.
    ///
    /// What a bus learns from its own connections, the client does not pass on, since its event callback was fixed when
    /// it was made, and what it has queued cannot be taken back. So such a bus gives fewer guarantees:
    ///
    /// - **Refusals are not seen.** A subject that a server may not subscribe to is no error at its start, and a
    ///   subscription that NATS revokes does not end. Calls that NATS refuses end at their deadline, events are lost,
    ///   and [`refused_events`](Self::refused_events) stays 0.
    /// - **Requests may run late.** The client queues up to 2,048 messages (its option `client_capacity`) and sends
    ///   them after an outage, also requests whose callers were told that they failed. Mark methods that must not run
    ///   late as `expires`.
    /// - **A loss is seen within 50 ms**, by looking at the state of the client. What begins meanwhile is queued, too.
    /// - **Silence is not noticed**: a connection over which nothing comes any more counts as lost when the client's
    ///   own PINGs have no reply, after two to three minutes by default. Nothing bounds what is sent and unconfirmed.
    /// - **The client reconnects by itself**, to the servers, with the login and after the delays of its own options.
    ///   A server in lame duck mode is left only when it closes the connection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`](crate::ErrorKind::Connect) when the connection is closed, or its nats-server is older
    /// than 2.11; [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) for an inbox prefix that is a pattern
    /// or no subject; [`ErrorKind::Runtime`](crate::ErrorKind::Runtime) outside of a tokio runtime.
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
        server_version::check(&client)?;
        NoRuntime::check()
            .map_err(|none| none.into_error("the connection to NATS is not shared"))?;
        let mux = Arc::new(Mux::new(&nats::new_inbox(&inbox_prefix(&client))?));
        let refusals = Arc::new(Refusals::new(Arc::clone(&mux)));
        let parts = LinkParts {
            number: 1,
            client,
            mux: &mux,
            refusals: &refusals,
            limits: None,
            events: None,
            before: None,
        };
        let link = Arc::new(parts.open().await?);
        let current = Arc::new(CurrentLink::new(Arc::clone(&link)));
        let (own_mux, own_refusals) = (Arc::clone(&mux), Arc::clone(&refusals));
        let watching = watch_foreign(Arc::clone(&current), link, own_mux, own_refusals);
        let watching = tokio::spawn(watching).abort_handle();
        // The client makes its connections, under a name of its own.
        let services = Arc::default();
        let connection = Connection::over_nats(current, watching, mux, refusals, services);
        Ok(Self::on(connection))
    }

    /// Returns the NATS client of the present connection, to use NATS beside this library; `None` inside one process,
    /// and while the connection is lost. With
    /// [separate connections](crate::ConnectOptions::separate_connections) it is that of calls.
    ///
    /// The client ends with its connection, and never connects again: its subscriptions end, and what it is given then
    /// fails. Ask for it again after that. A message that is to outlive a connection needs a client of its own.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), Box<dyn std::error::Error>> {
    /// let client = bus.nats().ok_or("the connection to NATS is lost")?;
    /// let reply = client.request("legacy.orders", "list".into()).await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn nats(&self) -> Option<Client> {
        match &self.calling().carrier {
            Carrier::Nats(nats) => nats.current.get().map(|link| link.client().clone()),
            Carrier::InProcess(_) => None,
        }
    }
}

/// Returns the inbox prefix of a client that the user has made.
fn inbox_prefix(client: &Client) -> String {
    let inbox = client.new_inbox();
    let prefix = inbox.rsplit_once('.').map_or(INBOX, |(prefix, _)| prefix);
    prefix.to_owned()
}
