//! `Acknowledger`: reports the outcome of each delivery to JetStream, and decides between redelivery and
//! giving up.

use std::sync::Arc;

use async_nats::Subject;
use bytes::Bytes;
use tokio::task::coop::unconstrained;

use crate::bus::{Concern, Outgoing, Refusal, RefusalObserver};
use crate::context::{Context, ContextHeaders, Origin, StopSignal};
use crate::descriptor::EventDescriptor;
use crate::event::EventCounters;
use crate::jetstream::consumer::Consumer;
use crate::jetstream::consumer_logs::ConsumerLogs;
use crate::jetstream::dead_letters::DeadLetters;
use crate::jetstream::durable::Durable;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::status::{Code, Reason, Status};
use crate::wire;
use crate::wire::ack_subject;
use crate::wire::percent_encode;

/// The event was handled.
const ACK: Bytes = Bytes::from_static(b"+ACK");
/// The event is delivered again at once, to any process.
const NAK: Bytes = Bytes::from_static(b"-NAK");
/// The handler still runs: `ack_wait` begins anew.
const PROGRESS: Bytes = Bytes::from_static(b"+WPI");
/// Maximum length of the reason in a `+TERM`, percent-encoded, in bytes.
const MAX_TERM_REASON_LEN: usize = 256;

/// Acknowledgment of one consumer's deliveries (docs/PROTOCOL.md, DUR-4).
///
/// | outcome | sent |
/// |---|---|
/// | the handler succeeded | `+ACK` |
/// | it failed, and deliveries are left | `-NAK` with the delay of [`Durable::backoff`] |
/// | it failed at its last delivery, or the bytes are no such event | `+TERM`, after the dead letter was stored |
/// | it never arrived, since its headers cannot be parsed | the same, as a request ([`malformed_search`](crate::jetstream::malformed_search)) |
/// | it still runs | `+WPI`, up to three times in each `ack_wait` |
/// | it was stopped at the end of the grace period | `-NAK` without delay |
/// | its dead letter is refused, and the server stops | `-NAK` without delay |
///
/// Nothing confirms an acknowledgment. One that is lost costs a redelivery, never an event: handlers must
/// tolerate those anyway.
pub(super) struct Acknowledger {
    pub(super) consumer: Arc<Consumer>,
    pub(super) durable: Durable,
    pub(super) dead_letters: Option<DeadLetters>,
    pub(super) event: &'static EventDescriptor,
    /// Length of the bus's prefix with its dot, in bytes.
    pub(super) prefix_len: usize,
    pub(super) counters: Arc<EventCounters>,
    pub(super) logs: ConsumerLogs,
    /// Of the server.
    pub(super) stop: StopSignal,
    /// Counts acknowledgments that NATS refuses.
    pub(super) _refused: RefusalObserver,
}

impl Acknowledger {
    /// Counts the acknowledgments of a consumer that NATS refuses, from now on and until the result is dropped.
    ///
    /// Nothing confirms an acknowledgment, so that a consumer that may not send them would handle each event again
    /// and again in silence.
    pub(super) fn observe_refusals(
        consumer: &Consumer,
        counters: &Arc<EventCounters>,
    ) -> RefusalObserver {
        let (stream, name) = (Arc::clone(&consumer.stream), consumer.name().to_owned());
        let counters = Arc::clone(counters);
        consumer
            .connection
            .refusals()
            .observe(move |refusal| match refusal {
                Refusal::Publish(subject) if ack_subject::is_ack_of(subject, &stream, &name) => {
                    counters.record_refusal(refusal.status());
                    Concern::Acknowledgment
                }
                _ => Concern::None,
            })
    }

    /// Reads a delivery: its context and its payload. The context takes the memory of `reusable` if nothing
    /// else refers to that ([`Context::of_delivery`]).
    ///
    /// Headers that are no valid metadata are left out, other than for core events: the event is stored
    /// already, and would end as a dead letter for a header that its handler may never read.
    ///
    /// # Errors
    ///
    /// [`Reason::ContentType`] if the payload is not protobuf.
    pub(super) fn receive(
        &self,
        delivery: &PendingDelivery,
        reusable: Option<Context>,
    ) -> Result<(Context, Bytes), Status> {
        let headers = delivery.headers.as_ref();
        let payload = wire::read_event(headers, delivery.payload.clone())?;
        let headers = ContextHeaders::read_accepted(headers);
        let origin = Origin {
            event: Some(self.event),
            subject: delivery.subject.clone(),
            prefix: self.prefix_len,
        };
        let info = delivery.info.clone();
        let ctx = Context::of_delivery(Some(origin), headers, info, Some(&self.stop), reusable);
        Ok((ctx, payload))
    }

    /// Acknowledges deliveries that succeeded in place, and empties `replies`.
    ///
    /// This is the hot path. The acknowledgments of one step of the consumer loop leave together, each
    /// reply subject is moved instead of cloned, and tokio's budget is left alone: the task has paid for
    /// each delivery when it received it. Waits while the connection's queue is full.
    pub(super) async fn acknowledge(&self, replies: &mut Vec<Subject>) {
        let connection = &self.consumer.connection;
        for reply in replies.drain(..) {
            let sent = connection.publish(Outgoing::to(reply, ACK));
            if unconstrained(sent).await.is_err() {
                return self.logs.unacknowledged();
            }
        }
    }

    /// Reports the one outcome of deliveries that were handled together: acknowledges them, asks for redeliveries, or
    /// gives events up.
    pub(super) async fn ack_or_nak(
        &self,
        deliveries: &[PendingDelivery],
        handled: Result<(), Status>,
    ) {
        let Err(status) = handled else {
            for delivery in deliveries {
                self.send(&delivery.reply, ACK).await;
            }
            return;
        };
        let max = self.durable.max_deliveries();
        let (given_up, redelivered): (Vec<_>, Vec<_>) = deliveries
            .iter()
            .partition(|delivery| is_poison(&status) || delivery.info.count() >= max);
        if let Some(first) = redelivered.first() {
            let delay = self.durable.delay_after(first.info.count());
            self.logs.failed(first, redelivered.len(), delay, &status);
        }
        for delivery in redelivered {
            let delay = self.durable.delay_after(delivery.info.count());
            let nak = format!(r#"-NAK {{"delay":{}}}"#, delay.as_nanos());
            self.send(&delivery.reply, nak.into()).await;
        }
        for delivery in given_up {
            self.terminate(delivery, &status).await;
        }
    }

    /// Gives an event up: stores its dead letter, if this consumer has any, and ends its redelivery.
    ///
    /// In this order: a process that ends between the two leads to a redelivery and a second letter with
    /// the same id, which the stream does not store. The other order could lose the event. A delivery whose letter is
    /// refused while the server stops is given back.
    pub(super) async fn terminate(&self, delivery: &PendingDelivery, status: &Status) {
        self.note_given_up(delivery, status);
        let payload = match self.store_letter(delivery, status).await {
            Ok(()) => self.termination(status),
            Err(_) => NAK,
        };
        self.send(&delivery.reply, payload).await;
    }

    /// Logs and counts an event that is given up.
    pub(super) fn note_given_up(&self, delivery: &PendingDelivery, status: &Status) {
        let is_dead_lettered = self.dead_letters.is_some();
        self.logs.given_up(delivery, is_dead_lettered, status);
        self.counters.record_given_up();
    }

    /// Stores the dead letter of a delivery, if this consumer has any.
    ///
    /// # Errors
    ///
    /// As [`DeadLetters::store`].
    pub(super) async fn store_letter(
        &self,
        delivery: &PendingDelivery,
        status: &Status,
    ) -> Result<(), Status> {
        match &self.dead_letters {
            Some(dead_letters) => dead_letters.store(delivery, status).await,
            None => Ok(()),
        }
    }

    /// Returns the acknowledgment that ends the redelivery of an event.
    pub(super) fn termination(&self, status: &Status) -> Bytes {
        let reason = percent_encode(&status.with_sources().to_string(), MAX_TERM_REASON_LEN);
        format!("+TERM {reason}").into()
    }

    /// Returns the status with which an event is given up before its handler runs, because it has used up
    /// its deliveries already.
    ///
    /// A handler that fails at its last delivery is given up then. So an event arrives once more only if
    /// the last delivery had no outcome, as when its process was killed: likely by this very event.
    pub(super) fn exhausted(&self, delivery: &PendingDelivery) -> Option<Status> {
        let (count, max) = (delivery.info.count(), self.durable.max_deliveries());
        (count > max).then(|| {
            let text = format!(
                "delivered {max} times, the last time without an outcome: did the process end, or NATS refuse its dead letter?"
            );
            Status::new(Code::Aborted, text)
        })
    }

    /// Reports that the handlers of these deliveries still run.
    pub(super) async fn report_progress(&self, replies: Vec<Subject>) {
        for reply in replies {
            self.send(&reply, PROGRESS).await;
        }
    }

    /// Gives back deliveries that this process will not handle, so that others get them at once instead of
    /// after `ack_wait`.
    pub(super) async fn nak_all(&self, replies: Vec<Subject>) {
        for reply in replies {
            self.send(&reply, NAK).await;
        }
    }

    async fn send(&self, reply: &Subject, payload: Bytes) {
        let outgoing = Outgoing::to(reply.clone(), payload);
        if self.consumer.connection.publish(outgoing).await.is_err() {
            self.logs.unacknowledged();
        }
    }
}

/// Returns whether a delivery can never be handled by any process: its bytes are no such event.
fn is_poison(status: &Status) -> bool {
    matches!(
        status.reason(),
        Some(Reason::Undecodable | Reason::BadHeader | Reason::ContentType)
    )
}
