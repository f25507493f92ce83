//! `Bus::flush` and `Bus::close`: what was sent has reached NATS, and the end of a connection.

use std::time::Duration;

use crate::bus::bus::Bus;
use crate::bus::connection::{Carrier, Connection};
use crate::bus::connection_state::ConnectionState;
use crate::bus::link::Link;
use crate::bus::outgoing::disconnected;
use crate::error::{Error, ErrorKind};
use crate::status::{Reason, Status};

/// Maximum time that calls take to end once their bus is closed.
const CALLS_TIMEOUT: Duration = Duration::from_millis(250);
/// Maximum time that NATS may take to confirm, however little it is.
const MIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time for what is confirmed slowly: more than the silence after which a link counts as lost.
const MAX_TIMEOUT: Duration = Duration::from_secs(65);

impl Bus {
    /// Returns once NATS has everything that was sent on this connection before: events, requests and replies of this
    /// bus, its clones, clients and servers. About one round trip.
    ///
    /// [`publish`](Self::publish) returns when the event is in the queue of the connection. A program that ends then,
    /// or drops its last bus, may end before the queue is written; flush first. Durable events are acknowledged one by
    /// one, and need no flush.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] if the connection is lost, also while this waits: what was sent before may be lost;
    /// [`ErrorKind::Timeout`] after 5 s and the time that what is unconfirmed takes at 256 KiB/s, 65 s at most.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let bus = micro_runtime::Bus::in_process();
    /// bus.publish_raw("evt.demo.a", "hello").await?;
    /// bus.flush().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn flush(&self) -> Result<(), Error> {
        self.connections().flush().await
    }

    /// Flushes, and closes the connection for good: for this bus, and for its clones, clients and servers.
    ///
    /// Subscriptions end behind what has arrived. Calls in flight, and those that begin later, fail with `UNAVAILABLE`
    /// (reason [`Disconnected`](crate::Reason::Disconnected)), and their handlers are dropped at the next await, as
    /// when they are dropped. Shut servers down and flush durable publishers before.
    /// No effect on a bus that is closed.
    ///
    /// # Errors
    ///
    /// Those of [`flush`](Self::flush): the connection is closed all the same, and what was sent last may be lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use micro_runtime::{Bus, ConnectionState};
    ///
    /// let bus = Bus::in_process();
    /// bus.publish_raw("evt.demo.a", "hello").await?;
    /// bus.close().await?;
    /// assert_eq!(bus.state(), ConnectionState::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn close(&self) -> Result<(), Error> {
        if self.state() == ConnectionState::Closed {
            return Ok(());
        }
        self.connections().end_calls().await;
        let flushed = self.flush().await;
        let is_closed = self.state() == ConnectionState::Closed;
        self.connections().close();
        match flushed {
            // By another caller, who has flushed.
            Err(error) if error.kind() == ErrorKind::Connect && is_closed => Ok(()),
            flushed => flushed,
        }
    }
}

impl Connection {
    /// Returns once NATS has everything that was sent before; see [`Bus::flush`].
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        let Carrier::Nats(nats) = &self.carrier else {
            return match self.state() {
                ConnectionState::Connected => Ok(()),
                _ => Err(disconnected()),
            };
        };
        let link = nats.current.get().ok_or_else(disconnected)?;
        let flushing = async {
            nats.outbox.flush().await;
            self.confirmed(&link).await
        };
        let slow = link.unconfirmed_time();
        let timeout = (MIN_TIMEOUT + slow).min(MAX_TIMEOUT);
        tokio::select! {
            flushed = tokio::time::timeout(timeout, flushing) => flushed.unwrap_or_else(|elapsed| {
                let text = format!("NATS did not confirm within {timeout:.0?} what was sent");
                Err(Error::new(ErrorKind::Timeout, text).with_source(elapsed))
            }),
            () = link.lost().cancelled() => Err(disconnected()),
        }
    }

    /// Ends the calls in flight, and waits until they have asked their servers to end them; those that nobody polls are
    /// left behind. Not over a client of the user: what confirms its messages needs the inbox.
    pub(crate) async fn end_calls(&self) {
        if let Carrier::Nats(nats) = &self.carrier
            && let Some(link) = nats.current.get()
            && link.refusal_tasks().is_none()
        {
            return;
        }
        self.mux.close(&closed());
        let _ = tokio::time::timeout(CALLS_TIMEOUT, self.mux.results_taken()).await;
        if let Carrier::Nats(nats) = &self.carrier {
            let _ = tokio::time::timeout(CALLS_TIMEOUT, nats.outbox.emptied()).await;
        }
    }

    /// Returns once NATS has what was handed over to it. A user that may not publish to its own inbox has markers for
    /// it, but over a client of the user no marker comes back.
    async fn confirmed(&self, link: &Link) -> Result<(), Error> {
        match link.confirmed().await {
            true => Ok(()),
            false if link.refusal_tasks().is_none() => self.barrier().await,
            false => link.markers().pass(link.client(), self.refusals()).await,
        }
    }

    /// Closes the connection for good.
    pub(crate) fn close(&self) {
        match &self.carrier {
            Carrier::Nats(nats) => {
                let link = nats.current.get();
                nats.life.end();
                // A client of the user goes on.
                if let Some(link) = link.filter(|link| link.refusal_tasks().is_some()) {
                    link.end();
                }
            }
            Carrier::InProcess(carrier) => carrier.close(),
        }
        self.mux.close(&closed());
        self.refusals.subscriptions().close();
    }
}

/// Returns the failure of calls on a bus that is closed.
fn closed() -> Status {
    Reason::Disconnected.status("the bus was closed")
}
