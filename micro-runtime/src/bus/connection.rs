//! One connection with its inbox, over either carrier.

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

/// How long NATS may take to confirm a barrier.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection with its inbox; shared by the buses, clients and servers made from it.
pub(crate) struct Connection {
    pub(super) carrier: Carrier,
    pub(super) mux: Arc<Mux>,
    #[cfg(feature = "jetstream")]
    pub(super) jetstream: jetstream_state::State,
}

pub(super) enum Carrier {
    Nats(Nats),
    InProcess(Arc<InProcess>),
}

pub(super) struct Nats {
    pub(super) client: Client,
    /// Absent where somebody else connected: then NATS's refusals cannot be seen.
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

    pub(crate) fn mux(&self) -> &Arc<Mux> {
        &self.mux
    }

    /// Hands a message to the carrier. Nothing is sent if the future is dropped while it waits.
    pub(crate) async fn publish(&self, outgoing: Outgoing) -> Result<(), PublishError> {
        match &self.carrier {
            Carrier::Nats(nats) => nats::publish(&nats.client, outgoing).await,
            Carrier::InProcess(carrier) => carrier.publish(outgoing),
        }
    }

    /// Leaves a request to be sent together with others; what is long, or finds no room, comes back.
    pub(crate) fn publish_batched(&self, outgoing: Outgoing) -> Option<Outgoing> {
        match &self.carrier {
            Carrier::Nats(nats) => nats.outbox.enqueue(outgoing, nats.client.max_payload()),
            Carrier::InProcess(_) => Some(outgoing),
        }
    }

    /// Sends the requests that wait to be sent together, before whatever is sent next.
    pub(crate) async fn flush_requests(&self) {
        if let Carrier::Nats(nats) = &self.carrier {
            nats.outbox.flush(&nats.client, &self.mux).await;
        }
    }

    /// How long a message may be, headers included.
    pub(crate) fn max_payload(&self) -> usize {
        match &self.carrier {
            Carrier::Nats(nats) => nats.client.max_payload(),
            Carrier::InProcess(_) => in_process::MAX_PAYLOAD,
        }
    }

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

    /// A subject of our own for one question with many answers, under the inbox that this user may
    /// subscribe to.
    pub(crate) fn new_inbox(&self) -> Subject {
        match &self.carrier {
            Carrier::Nats(nats) => Subject::from(nats.client.new_inbox()),
            Carrier::InProcess(_) => Subject::from(format!("_INBOX.{}", nuid::next())),
        }
    }

    /// The permission violations from now on; `None` where they cannot be seen or cannot happen.
    pub(crate) fn violations(&self) -> Option<broadcast::Receiver<String>> {
        match &self.carrier {
            Carrier::Nats(nats) => nats.events.as_ref().map(|events| events.violations()),
            Carrier::InProcess(_) => None,
        }
    }

    /// Returns when everything that was sent on this connection before has been seen by the server,
    /// and everything that the server had sent before that has arrived here.
    ///
    /// A message to the own inbox proves it; `flush` would prove nothing.
    pub(crate) async fn barrier(&self) -> Result<(), Error> {
        let (mut slot, subject) = self.mux.reserve(false);
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

impl Drop for Nats {
    fn drop(&mut self) {
        self.inbox_task.abort();
        self.outbox_task.abort();
    }
}

pub(super) fn closed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Connect, "the connection to NATS is closed").with_source(error)
}
