//! `Acknowledger`: reports the outcome of each delivery to JetStream, and decides between redelivery and
//! giving up.

use std::sync::Arc;

use async_nats::Subject;
use bytes::Bytes;
use tokio::task::coop::unconstrained;

use crate::bus::{Concern, Outgoing, Refusal, RefusalObserver};
use crate::context::{Context, ContextHeaders, Delivery, Origin, StopSignal, TimeLimit};
use crate::descriptor::EventDescriptor;
use crate::event::EventCounters;
use crate::jetstream::ack_confirmation::AckConfirmation;
use crate::jetstream::attempt_ledger::AttemptLedger;
use crate::jetstream::consumer::Consumer;
use crate::jetstream::consumer_logs::ConsumerLogs;
use crate::jetstream::dead_letters::DeadLetters;
use crate::jetstream::delivery_state::{AttemptOutcome, Judgment, outcome};
use crate::jetstream::durable::Durable;
use crate::jetstream::in_flight::LeftDelivery;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::status::{Code, Status};
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
/// [`delivery_state`](crate::jetstream::delivery_state) has the states of a delivery, and what is sent in each. An
/// event that never arrived, since its headers cannot be parsed, is terminated by a request
/// ([`malformed_search`](crate::jetstream::malformed_search)); a delivery whose dead letter is refused while the server
/// stops is given back.
///
/// Nearly all acknowledgments are sent and no more ([`AckConfirmation`]). One that is lost costs a redelivery, never an
/// event: handlers must tolerate those anyway.
pub(super) struct Acknowledger {
    pub(super) consumer: Arc<Consumer>,
    pub(super) durable: Durable,
    pub(super) dead_letters: Option<DeadLetters>,
    /// `None` without a limit of attempts.
    pub(super) ledger: Option<AttemptLedger>,
    pub(super) event: &'static EventDescriptor,
    /// Length of the bus's prefix with its dot, in bytes.
    pub(super) prefix_len: usize,
    pub(super) counters: Arc<EventCounters>,
    pub(super) logs: ConsumerLogs,
    /// Of the server.
    pub(super) stop: StopSignal,
    pub(super) confirmation: Arc<AckConfirmation>,
    /// Counts acknowledgments that NATS refuses.
    pub(super) _refused: RefusalObserver,
}

impl Acknowledger {
    /// Counts the acknowledgments of a consumer that NATS refuses, from now on and until the result is dropped, and
    /// stops the consumer.
    pub(super) fn observe_refusals(
        consumer: &Consumer,
        confirmation: &Arc<AckConfirmation>,
    ) -> RefusalObserver {
        let (stream, name) = (Arc::clone(&consumer.stream), consumer.name().to_owned());
        let confirmation = Arc::clone(confirmation);
        consumer
            .connection
            .refusals()
            .observe(move |refusal| match refusal {
                Refusal::Publish(subject) if ack_subject::is_ack_of(subject, &stream, &name) => {
                    confirmation.stop(subject, refusal.status());
                    Concern::Acknowledgment
                }
                _ => Concern::None,
            })
    }

    /// Reads a delivery: its context, with the time limit of its handler, and its payload. The context takes the memory
    /// of `reusable` if nothing else refers to that ([`Context::of_delivery`]).
    ///
    /// Headers that are no metadata are left out and counted, as for core events.
    ///
    /// # Errors
    ///
    /// [`Reason::ContentType`] if the payload is not protobuf.
    pub(super) fn receive(
        &self,
        delivery: &PendingDelivery,
        limit: Option<TimeLimit>,
        reusable: Option<Context>,
    ) -> Result<(Context, Bytes), Status> {
        let headers = delivery.headers.as_ref();
        let payload = wire::read_event(headers, delivery.payload.clone())?;
        let headers = ContextHeaders::read_accepted(headers);
        if headers.malformed() > 0 {
            self.counters.record_malformed_headers(headers.malformed());
        }
        let origin = Origin {
            event: Some(self.event),
            subject: delivery.subject.clone(),
            prefix: self.prefix_len,
        };
        let info = delivery.info.clone();
        let stop = Some(&self.stop);
        let ctx = Context::of_delivery(Some(origin), headers, info, limit, stop, reusable);
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
        let is_alone = deliveries.len() == 1;
        let status = match &handled {
            Ok(()) => return self.ack_all(deliveries).await,
            Err(status) => status,
        };
        let mut retried = Vec::new();
        let mut given_up = Vec::new();
        for delivery in deliveries {
            let attempt = delivery.info.attempt();
            match outcome(&self.durable, &handled, attempt, is_alone) {
                AttemptOutcome::Succeeded => {}
                AttemptOutcome::Retried(delay) => retried.push((delivery, delay)),
                AttemptOutcome::GivenUp => given_up.push(delivery),
            }
        }
        if let Some((first, delay)) = retried.first() {
            self.logs.failed(first, retried.len(), *delay, status);
        }
        for (delivery, delay) in retried {
            self.record_ended(&delivery.info, delivery.info.attempt())
                .await;
            let nak = format!(r#"-NAK {{"delay":{}}}"#, delay.as_nanos());
            self.send(delivery, nak.into()).await;
        }
        for delivery in given_up {
            self.terminate(delivery, status).await;
        }
    }

    async fn ack_all(&self, deliveries: &[PendingDelivery]) {
        for delivery in deliveries {
            self.send(delivery, ACK).await;
        }
    }

    /// Acknowledges a delivery that succeeded in place, and makes sure that this arrives.
    pub(super) async fn confirm(&self, reply: Subject) {
        self.confirmation.confirm(reply, ACK).await;
    }

    /// Judges a redelivery, before it is handled.
    pub(super) async fn judge(&self, delivery: &mut PendingDelivery) {
        let judgment = match &self.ledger {
            Some(ledger) => ledger.judge(&delivery.info).await,
            None => Judgment::by_deliveries(delivery.info.count()),
        };
        delivery.judge(judgment);
    }

    /// Records that a handler begins with a suspect, which may end this process.
    pub(super) async fn record_begun(&self, delivery: &PendingDelivery) {
        if let Some(ledger) = &self.ledger
            && delivery.judgment.is_suspect
        {
            ledger.record_begun(&delivery.info).await;
        }
    }

    async fn record_ended(&self, delivery: &Delivery, attempts: u64) {
        if let Some(ledger) = &self.ledger {
            ledger.record_ended(delivery, attempts).await;
        }
    }

    /// Gives an event up: stores its dead letter, if this consumer has any, and ends its redelivery.
    ///
    /// In this order: a process that ends between the two leads to a redelivery and a second letter with
    /// the same id, which the stream does not store. The other order could lose the event. A delivery whose letter is
    /// refused while the server stops is given back.
    pub(super) async fn terminate(&self, delivery: &PendingDelivery, status: &Status) {
        delivery.settle();
        self.note_given_up(delivery, status);
        let payload = match self.store_letter(delivery, status).await {
            Ok(()) => self.termination(status),
            Err(_) => {
                self.record_ended(&delivery.info, delivery.info.attempt())
                    .await;
                NAK
            }
        };
        self.send(delivery, payload).await;
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
    /// its attempts already.
    ///
    /// A handler that fails at its last attempt is given up then. So an event arrives once more only if
    /// the last attempt had no outcome, as when its process was killed: likely by this very event.
    pub(super) fn exhausted(&self, delivery: &PendingDelivery) -> Option<Status> {
        let (known, max) = (delivery.judgment.known, self.durable.attempt_limit());
        (known >= max).then(|| {
            let text = format!(
                "handled {known} times, the last time without an outcome: did the process end, or NATS refuse its dead letter?"
            );
            Status::new(Code::Aborted, text)
        })
    }

    /// Reports that the handlers of these deliveries still run.
    pub(super) async fn report_progress(&self, replies: Vec<Subject>) {
        for reply in replies {
            self.publish(reply, PROGRESS).await;
        }
    }

    /// Gives back deliveries that this process will not handle, so that others get them at once instead of
    /// after `ack_wait`.
    ///
    /// In a stream that was declared anew this delivers a new event once more, which costs nothing but that.
    pub(super) async fn give_back(&self, deliveries: Vec<LeftDelivery>) {
        for left in deliveries {
            if let Some(attempts) = left.attempts {
                self.record_ended(&left.info, attempts).await;
            }
            self.publish(left.reply, NAK).await;
        }
    }

    /// Sends an acknowledgment, unless the stream was declared anew since the delivery.
    async fn send(&self, delivery: &PendingDelivery, payload: Bytes) {
        let Consumer {
            generation,
            connection,
            ..
        } = &*self.consumer;
        let reply = delivery.reply.clone();
        if !generation.is_current(delivery.generation, connection).await {
            let sequence = delivery.info.sequence();
            tracing::debug!(sequence, "the stream of a handled event is gone");
        } else if self.confirmation.take_due() {
            self.confirmation.confirm(reply, payload).await;
        } else {
            self.publish(reply, payload).await;
        }
    }

    async fn publish(&self, reply: Subject, payload: Bytes) {
        let outgoing = Outgoing::to(reply, payload);
        if self.consumer.connection.publish(outgoing).await.is_err() {
            self.logs.unacknowledged();
        }
    }
}
