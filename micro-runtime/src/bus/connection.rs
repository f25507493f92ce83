//! `Connection`: one connection with its inbox, over either carrier.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::bus::connection_state::ConnectionState;
use crate::bus::in_process;
use crate::bus::in_process::InProcess;
#[cfg(feature = "jetstream")]
use crate::bus::jetstream_state;
use crate::bus::mux::{Mux, ReplySlot};
use crate::bus::nats_carrier::NatsCarrier;
use crate::bus::outgoing::{Outgoing, PublishError, disconnected};
use crate::bus::permission_line::own_inbox_unpublishable;
#[cfg(feature = "jetstream")]
use crate::bus::publish_uses::PublishUse;
use crate::bus::refusals::Refusals;
use crate::bus::runtime::NoRuntime;
use crate::bus::served_services::NamedServices;
use crate::bus::subscription::{CarrierSubscription, SubscriptionSource};
use crate::bus::waiting_room::WaitingRoom;
use crate::error::{Error, ErrorKind};
use crate::status::{Reason, Status};
#[cfg(feature = "jetstream")]
use crate::wire::subject;
use crate::wire::subject::JETSTREAM_API;

/// Time after a reconnect in which services may still be missing.
const SETTLING_TIME: Duration = Duration::from_secs(5);
/// Maximum time until the message of a barrier arrives in the own inbox.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection with its inbox; shared by the buses, clients and servers made from it.
///
/// Only this type and its parts in `bus` distinguish the carriers. Every method that publishes may wait while
/// async-nats's queue of commands is full, requests also while a window of them is unconfirmed (`link::window`), and
/// all while the connection moves to another server (`link::handover`), at most until the link is lost.
pub(crate) struct Connection {
    pub(super) carrier: Carrier,
    pub(super) mux: Arc<Mux>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) waiting: WaitingRoom,
    /// First tokens of the subjects of JetStream's API.
    pub(super) jetstream_api: Box<str>,
    #[cfg(feature = "jetstream")]
    pub(super) jetstream: jetstream_state::State,
}

/// The two ways of carrying messages. An enum and not a trait: the carriers are not an extension point, and a
/// call on the hot path is not dispatched dynamically.
pub(super) enum Carrier {
    Nats(NatsCarrier),
    InProcess(Arc<InProcess>),
}

impl Connection {
    pub(super) fn new(carrier: Carrier, mux: Arc<Mux>, refusals: Arc<Refusals>) -> Self {
        Self {
            carrier,
            mux,
            refusals,
            waiting: WaitingRoom::default(),
            jetstream_api: JETSTREAM_API.into(),
            #[cfg(feature = "jetstream")]
            jetstream: jetstream_state::State::default(),
        }
    }

    /// Returns whether the connection was made anew within the last 5 s: services that lost it, too, may come back
    /// later than their callers.
    pub(crate) fn is_settling(&self) -> bool {
        self.refusals.reconnected_since(SETTLING_TIME)
    }

    /// Returns the present state of the connection.
    pub(crate) fn state(&self) -> ConnectionState {
        match &self.carrier {
            Carrier::Nats(nats) => nats.current.state(),
            Carrier::InProcess(carrier) => *carrier.states.borrow(),
        }
    }

    /// Returns the states of the connection, the present one first.
    pub(crate) fn states(&self) -> watch::Receiver<ConnectionState> {
        match &self.carrier {
            Carrier::Nats(nats) => nats.current.states(),
            Carrier::InProcess(carrier) => carrier.states.subscribe(),
        }
    }

    /// Returns whether the connection was closed for good.
    #[cfg(feature = "jetstream")]
    pub(crate) fn is_closed(&self) -> bool {
        *self.states().borrow() == ConnectionState::Closed
    }

    /// Returns the reply slots of this connection.
    pub(crate) fn mux(&self) -> &Arc<Mux> {
        &self.mux
    }

    /// Shows these services in the name of the connection, from the next physical one on and as long as the returned
    /// value lives. `None` inside one process.
    pub(crate) fn name_services(&self, names: Vec<&'static str>) -> Option<NamedServices> {
        match &self.carrier {
            Carrier::Nats(nats) => Some(Arc::clone(&nats.services).add(names)),
            Carrier::InProcess(_) => None,
        }
    }

    /// Returns the first tokens of the subjects of JetStream's API on this connection.
    pub(crate) fn jetstream_api(&self) -> &str {
        &self.jetstream_api
    }

    /// Returns whether this connection stays inside the process.
    pub(crate) fn is_in_process(&self) -> bool {
        matches!(self.carrier, Carrier::InProcess(_))
    }

    /// Returns what NATS refuses on this connection. Nothing comes where it cannot be detected (`Bus::from_nats`) or
    /// does not occur (inside one process).
    pub(crate) fn refusals(&self) -> &Arc<Refusals> {
        &self.refusals
    }

    /// Returns when the messages that are read now had reached NATS at the latest; `now` if that is not known. The
    /// first calls of a burst only make it known.
    pub(crate) fn reached_by(&self, now: Instant) -> Instant {
        match &self.carrier {
            Carrier::Nats(nats) => match &*nats.current.peek() {
                Some(link) => link.reached_by(now),
                None => now,
            },
            Carrier::InProcess(_) => now,
        }
    }

    /// Hands a message to the carrier; waits while its queue is full.
    ///
    /// Cancel safe: if the future is dropped while it waits, nothing is sent. `Ok` means that the message is
    /// queued, not that a server has received it.
    pub(crate) async fn publish(&self, outgoing: Outgoing) -> Result<(), PublishError> {
        match &self.carrier {
            Carrier::Nats(nats) => match nats.current.get() {
                Some(link) => link.publish(outgoing).await,
                None => Err(nats.current.absence()),
            },
            Carrier::InProcess(carrier) => carrier.publish(outgoing),
        }
    }

    /// Checks that a message is not too long. For a request this must precede its reply slot, which counts as sent: a
    /// refusal that comes meanwhile, of another request, would end the slot of this one.
    ///
    /// # Errors
    ///
    /// [`PublishError::TooLarge`].
    pub(crate) fn check_len(&self, outgoing: &Outgoing) -> Result<(), PublishError> {
        let max = self.max_payload();
        match outgoing.size() <= max {
            true => Ok(()),
            false => Err(PublishError::TooLarge { max }),
        }
    }

    /// Hands a request to the carrier as [`publish`](Self::publish) does, and gives it its place among all requests,
    /// by which a refusal of NATS finds `slot`.
    pub(crate) async fn publish_request(
        &self,
        slot: &mut ReplySlot,
        outgoing: Outgoing,
    ) -> Result<(), PublishError> {
        self.check_len(&outgoing)?;
        let mut publishing = pin!(self.publish(outgoing));
        poll_fn(|cx| slot.poll_publish(publishing.as_mut(), cx)).await
    }

    /// Returns whether an event must not be sent, since NATS has just refused its subject; then it is counted as
    /// refused. One that is too long is sent all the same, which fails.
    #[inline]
    pub(crate) fn drops_event(&self, event: impl FnOnce() -> Outgoing) -> bool {
        self.refusals.has_refused_events() && self.drops(&event())
    }

    #[cold]
    fn drops(&self, event: &Outgoing) -> bool {
        self.check_len(event).is_ok() && self.refusals.refuse_event(&event.subject)
    }

    /// Queues a request in the [`Outbox`], which sends it in one write with others. Never waits.
    ///
    /// Returns the request if it cannot be batched (too long, no room, or inside one process, where a
    /// write costs nothing); the caller then publishes it by [`publish`](Self::publish). A request that was
    /// taken and then fails ends its reply slot with the error.
    pub(crate) fn publish_batched(&self, outgoing: Outgoing) -> Option<Outgoing> {
        match &self.carrier {
            // Without a link the caller hears of it by `publish`, and may wait.
            Carrier::Nats(nats) if nats.current.peek().is_none() => Some(outgoing),
            Carrier::Nats(nats) => nats.outbox.enqueue(outgoing, nats.current.max_payload()),
            Carrier::InProcess(_) => Some(outgoing),
        }
    }

    /// Hands the queued requests of the outbox to the carrier, so that they precede whatever the caller
    /// publishes next.
    pub(crate) async fn flush_requests(&self) {
        if let Carrier::Nats(nats) = &self.carrier {
            nats.outbox.flush().await;
        }
    }

    /// Returns the maximum length of one message in bytes, headers included: the server's `max_payload`,
    /// which may change with a reconnect.
    pub(crate) fn max_payload(&self) -> usize {
        match &self.carrier {
            Carrier::Nats(nats) => nats.current.max_payload(),
            Carrier::InProcess(_) => in_process::MAX_PAYLOAD,
        }
    }

    /// Subscribes, as a member of a queue group if `queue` is set.
    ///
    /// `Ok` proves nothing about NATS: a refused subscription is reported later, through
    /// [`refusals`](Self::refusals), and at the latest when
    /// [`prove_subscriptions`](Self::prove_subscriptions) returns.
    pub(crate) async fn subscribe(
        &self,
        subject: Subject,
        queue: Option<&str>,
    ) -> Result<CarrierSubscription, Error> {
        NoRuntime::check()
            .map_err(|none| none.into_error(format_args!("`{subject}` is not subscribed to")))?;
        let open = self.refusals.subscriptions().add(subject.clone(), queue);
        let source = match &self.carrier {
            Carrier::Nats(nats) => {
                let link = nats.current.get().ok_or_else(disconnected)?;
                open.note_link(link.number());
                // The keeper may have made it already, behind the registration.
                let subscriber = match open.take_next() {
                    Some(subscriber) => subscriber,
                    None => link.subscribe(subject, queue).await?,
                };
                SubscriptionSource::Nats(subscriber)
            }
            Carrier::InProcess(carrier) => {
                carrier.check_connected()?;
                let queue = queue.map(Subject::from);
                SubscriptionSource::InProcess(carrier.subscribe(subject, queue))
            }
        };
        Ok(CarrierSubscription::new(source, open))
    }

    /// Registers that something publishes to a subject outside of the reply slots and depends on hearing that NATS
    /// refuses it. `None` inside one process, where no refusal is lost.
    #[cfg(feature = "jetstream")]
    pub(crate) fn depend_on_publish(&self, subject: &Subject) -> Option<PublishUse> {
        match &self.carrier {
            Carrier::Nats(_) => Some(self.refusals.publish_uses().add(subject.clone())),
            Carrier::InProcess(_) => None,
        }
    }

    /// Returns a new subject for the deliveries that a durable consumer pulls, under the inbox prefix of this user, to
    /// which alone it may be allowed to subscribe.
    #[cfg(feature = "jetstream")]
    pub(crate) fn new_inbox(&self) -> Subject {
        let inbox = self.mux.inbox().as_str();
        let prefix = inbox.rsplit_once('.').map_or(inbox, |(prefix, _)| prefix);
        subject::new_inbox(prefix)
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
    /// [`ErrorKind::Timeout`] after [`BARRIER_TIMEOUT`]; [`ErrorKind::Permission`] if this user may not publish or
    /// subscribe to the own inbox; [`ErrorKind::Connect`] if the connection is lost meanwhile.
    pub(crate) async fn barrier(&self) -> Result<(), Error> {
        let (mut slot, subject) = self
            .mux
            .reserve_own()
            .map_err(|status| self.failed(status))?;
        let outgoing = Outgoing::to(subject, Bytes::new());
        let passing = async {
            let published = self.publish_request(&mut slot, outgoing).await;
            if published.is_err() {
                return Err(disconnected());
            }
            let reply = poll_fn(|cx| slot.poll(cx)).await;
            reply.map(drop).map_err(|status| self.failed(status))
        };
        match tokio::time::timeout(BARRIER_TIMEOUT, passing).await {
            Ok(passed) => passed,
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "NATS did not return a message to our own inbox `{}.>` within {BARRIER_TIMEOUT:?}",
                    self.mux.inbox()
                ),
            )),
        }
    }

    /// Checks that NATS has not refused the subscription of the own inbox.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Permission`] if it has.
    pub(crate) fn check_inbox(&self) -> Result<(), Error> {
        self.mux.check_inbox().map_err(|status| self.failed(status))
    }

    /// Returns the error of a barrier that failed with this status.
    fn failed(&self, status: Status) -> Error {
        if status.reason() != Some(Reason::NotPermitted) {
            let message = "the connection to NATS was lost";
            return Error::new(ErrorKind::Connect, message).with_source(status);
        }
        let message = match self.mux.check_inbox() {
            Err(refused) => refused.message().to_owned(),
            Ok(()) => own_inbox_unpublishable(self.mux.inbox()),
        };
        Error::new(ErrorKind::Permission, message)
    }
}
