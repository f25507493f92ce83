//! `Connection`: one connection with its inbox, over either carrier.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Subject};
use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

use crate::bus::in_process;
use crate::bus::in_process::InProcess;
#[cfg(feature = "jetstream")]
use crate::bus::jetstream_state;
use crate::bus::mux::Mux;
use crate::bus::nats;
use crate::bus::nats::ConnectionEvents;
use crate::bus::outbox::Outbox;
use crate::bus::outgoing::{Outgoing, PublishError};
use crate::bus::subscription::CarrierSubscription;
use crate::error::{Error, ErrorKind};
use crate::wire::subject;

/// Maximum time until the message of a barrier arrives in the own inbox.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection with its inbox; shared by the buses, clients and servers made from it.
///
/// Only this type and its parts in `bus` distinguish the carriers. Every method that publishes may wait while
/// async-nats's queue of commands is full; none of them waits for the network itself, except
/// [`barrier`](Self::barrier).
pub(crate) struct Connection {
    pub(super) carrier: Carrier,
    pub(super) mux: Arc<Mux>,
    #[cfg(feature = "jetstream")]
    pub(super) jetstream: jetstream_state::State,
}

/// The two ways of carrying messages. An enum and not a trait: the carriers are not an extension point, and a
/// call on the hot path is not dispatched dynamically.
pub(super) enum Carrier {
    Nats(NatsCarrier),
    InProcess(Arc<InProcess>),
}

/// A NATS connection and the tasks that belong to it. The tasks are aborted on drop.
pub(super) struct NatsCarrier {
    pub(super) client: Client,
    /// `None` if the connection was made by the user: its event callback belongs to the user, and rejected
    /// subscriptions cannot be detected.
    pub(super) events: Option<Arc<ConnectionEvents>>,
    pub(super) inbox_task: AbortHandle,
    pub(super) outbox: Arc<Outbox>,
    pub(super) outbox_task: AbortHandle,
}

impl Connection {
    pub(super) fn new(carrier: Carrier, mux: Arc<Mux>) -> Self {
        Self {
            carrier,
            mux,
            #[cfg(feature = "jetstream")]
            jetstream: jetstream_state::State::default(),
        }
    }

    /// Returns the reply slots of this connection.
    pub(crate) fn mux(&self) -> &Arc<Mux> {
        &self.mux
    }

    /// Hands a message to the carrier; waits while its queue is full.
    ///
    /// Cancel safe: if the future is dropped while it waits, nothing is sent. `Ok` means that the message is
    /// queued, not that a server has received it.
    pub(crate) async fn publish(&self, outgoing: Outgoing) -> Result<(), PublishError> {
        match &self.carrier {
            Carrier::Nats(nats) => nats::publish(&nats.client, outgoing).await,
            Carrier::InProcess(carrier) => carrier.publish(outgoing),
        }
    }

    /// Queues a request in the [`Outbox`], which sends it in one write with others. Never waits.
    ///
    /// Returns the request if it cannot be batched (too long, no room, or inside one process, where a
    /// write costs nothing); the caller then publishes it by [`publish`](Self::publish). A request that was
    /// taken and then fails ends its reply slot with the error.
    pub(crate) fn publish_batched(&self, outgoing: Outgoing) -> Option<Outgoing> {
        match &self.carrier {
            Carrier::Nats(nats) => nats.outbox.enqueue(outgoing, nats.client.max_payload()),
            Carrier::InProcess(_) => Some(outgoing),
        }
    }

    /// Hands the queued requests of the outbox to the carrier, so that they precede whatever the caller
    /// publishes next.
    pub(crate) async fn flush_requests(&self) {
        if let Carrier::Nats(nats) = &self.carrier {
            nats.outbox.flush(&nats.client, &self.mux).await;
        }
    }

    /// Returns the maximum length of one message in bytes, headers included: the server's `max_payload`,
    /// which may change with a reconnect.
    pub(crate) fn max_payload(&self) -> usize {
        match &self.carrier {
            Carrier::Nats(nats) => nats.client.max_payload(),
            Carrier::InProcess(_) => in_process::MAX_PAYLOAD,
        }
    }

    /// Subscribes, as a member of a queue group if `queue` is set.
    ///
    /// `Ok` proves nothing about NATS: a rejected subscription is reported later, through
    /// [`violations`](Self::violations). After a [`barrier`](Self::barrier) the server has processed it, and
    /// reports a rejection up to a millisecond later.
    pub(crate) async fn subscribe(
        &self,
        subject: Subject,
        queue: Option<&str>,
    ) -> Result<CarrierSubscription, Error> {
        match &self.carrier {
            Carrier::Nats(nats) => match queue {
                Some(queue) => nats.client.queue_subscribe(subject, queue.to_owned()).await,
                None => nats.client.subscribe(subject).await,
            }
            .map(CarrierSubscription::Nats)
            .map_err(closed),
            Carrier::InProcess(carrier) => Ok(CarrierSubscription::InProcess(
                carrier.subscribe(subject, queue.map(Subject::from)),
            )),
        }
    }

    /// Returns a new subject for one request with many replies, under the inbox prefix of this user, to
    /// which alone it may be allowed to subscribe.
    pub(crate) fn new_inbox(&self) -> Subject {
        match &self.carrier {
            Carrier::Nats(nats) => nats::new_inbox(&nats.client),
            Carrier::InProcess(_) => subject::new_inbox(subject::INBOX),
        }
    }

    /// Returns the texts of permission violations from now on; `None` if they cannot be detected
    /// ([`Bus::from_nats`](crate::Bus::from_nats)) or cannot occur (inside one process).
    pub(crate) fn violations(&self) -> Option<broadcast::Receiver<String>> {
        match &self.carrier {
            Carrier::Nats(nats) => nats.events.as_ref().map(|events| events.violations()),
            Carrier::InProcess(_) => None,
        }
    }

    /// Returns once the server has processed everything sent on this connection before, and everything that
    /// the server had sent before that has arrived here.
    ///
    /// Start and stop of a server rest on it. It publishes a message to the own inbox and waits until that
    /// arrives: NATS processes the messages of one connection in order, so its arrival proves both. async-nats's
    /// `flush` would prove neither; it ends when the bytes are written to the socket.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] after [`BARRIER_TIMEOUT`], as when this user may not publish to the own inbox;
    /// [`ErrorKind::Connect`] if the connection is lost meanwhile.
    pub(crate) async fn barrier(&self) -> Result<(), Error> {
        let (mut slot, subject) = self.mux.reserve();
        let outgoing = Outgoing::to(subject, Bytes::new());
        if let Err(PublishError::Failed(error)) = self.publish(outgoing).await {
            return Err(closed(error));
        }
        let reply = std::future::poll_fn(|cx| slot.poll(cx));
        match tokio::time::timeout(BARRIER_TIMEOUT, reply).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => {
                let message = "the connection to NATS was lost";
                Err(Error::new(ErrorKind::Connect, message).with_source(status))
            }
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "NATS did not return a message to our own inbox within {BARRIER_TIMEOUT:?}; may this user publish to `{}.>`?",
                    self.mux.inbox()
                ),
            )),
        }
    }
}

impl Drop for NatsCarrier {
    fn drop(&mut self) {
        self.inbox_task.abort();
        self.outbox_task.abort();
    }
}

/// Returns the error of an operation that failed since the connection is closed for good.
pub(super) fn closed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Connect, "the connection to NATS is closed").with_source(error)
}
