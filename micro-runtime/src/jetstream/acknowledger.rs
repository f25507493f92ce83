//! Acknowledges, rejects or gives up deliveries of one consumer.

use std::sync::Arc;

use async_nats::Subject;
use bytes::Bytes;
use tokio::task::coop::unconstrained;

use crate::bus::Outgoing;
use crate::context::{Context, ContextHeaders, Origin};
use crate::descriptor::EventDescriptor;
use crate::event::EventCounters;
use crate::jetstream::consumer::Consumer;
use crate::jetstream::dead_letter::DeadLetters;
use crate::jetstream::durable::Durable;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::status::{Code, Reason, Status};
use crate::wire;
use crate::wire::percent_encode;

const ACK: Bytes = Bytes::from_static(b"+ACK");

const NAK: Bytes = Bytes::from_static(b"-NAK");

const PROGRESS: Bytes = Bytes::from_static(b"+WPI");

const REASON_LIMIT: usize = 256;

/// How deliveries of one consumer are answered.
pub(super) struct Acknowledger {
    pub(super) consumer: Arc<Consumer>,
    pub(super) durable: Durable,
    pub(super) dead_letters: Option<DeadLetters>,
    pub(super) event: &'static EventDescriptor,
    /// How much of a subject is the bus's, with the dot.
    pub(super) prefix: usize,
    pub(super) counters: Arc<EventCounters>,
}

/// Says whether the bytes can never be handled, by anybody.
fn is_poison(status: &Status) -> bool {
    matches!(
        status.reason(),
        Some(Reason::Undecodable | Reason::BadHeader | Reason::ContentType)
    )
}

impl Acknowledger {
    /// What a handler gets of a delivery, or why it is none for it; see [`Context::of_event`] for
    /// `spare`.
    pub(super) fn receive(
        &self,
        job: &PendingDelivery,
        spare: Option<Context>,
    ) -> Result<(Context, Bytes), Status> {
        let headers = job.headers.as_ref();
        let payload = wire::read_event(headers, job.payload.clone())?;
        // A foreign header beyond our limits is no reason to refuse what is stored already.
        let headers = ContextHeaders::read_accepted(headers);
        let origin = Origin {
            event: Some(self.event),
            subject: job.subject.clone(),
            prefix: self.prefix,
        };
        let delivery = job.delivery.clone();
        let ctx = Context::of_delivery(Some(origin), headers, delivery, spare);
        Ok((ctx, payload))
    }

    /// Acknowledges deliveries that were handled together.
    pub(super) async fn acknowledge(&self, replies: &mut Vec<Subject>) {
        let Ok(jetstream) = self.consumer.connection.jetstream_or_error() else {
            return;
        };
        for reply in replies.drain(..) {
            let sent = jetstream.client.publish(reply, ACK);
            if unconstrained(sent).await.is_err() {
                return tell_of_the_end();
            }
        }
    }

    /// Answers for what became of a delivery.
    pub(super) async fn ack_or_nak(&self, job: &PendingDelivery, handled: Result<(), Status>) {
        match handled {
            Ok(()) => self.answer(&job.reply, ACK).await,
            Err(status) if is_poison(&status) => self.terminate(job, &status).await,
            Err(status) => self.failed(job, &status).await,
        }
    }

    /// The handler failed: again later, or never.
    async fn failed(&self, job: &PendingDelivery, status: &Status) {
        let count = job.delivery.count();
        if count >= self.durable.attempts() {
            return self.terminate(job, status).await;
        }
        let delay = self.durable.delay(count);
        tracing::warn!(
            stream = &*self.consumer.stream, consumer = self.consumer.name(),
            sequence = job.delivery.sequence(), count, ?delay, %status,
            "an event's handler failed; it comes again"
        );
        let nak = format!(r#"-NAK {{"delay":{}}}"#, delay.as_nanos());
        self.answer(&job.reply, nak.into()).await;
    }

    /// Nobody will ever handle it.
    pub(super) async fn terminate(&self, job: &PendingDelivery, status: &Status) {
        tracing::error!(
            stream = &*self.consumer.stream, consumer = self.consumer.name(),
            sequence = job.delivery.sequence(), count = job.delivery.count(),
            is_kept = self.dead_letters.is_some(), %status,
            "an event is given up"
        );
        if let Some(dead_letters) = &self.dead_letters {
            dead_letters.publish_dead_letter(job, status).await;
        }
        let reason = percent_encode(&status.to_string(), REASON_LIMIT);
        self.answer(&job.reply, format!("+TERM {reason}").into())
            .await;
    }

    /// Says of an event that has used up its deliveries why it is given up before it is tried: the
    /// last of them ended without an answer.
    pub(super) fn exhausted(&self, job: &PendingDelivery) -> Option<Status> {
        let (count, attempts) = (job.delivery.count(), self.durable.attempts());
        (count > attempts).then(|| {
            let text = format!(
                "delivered {attempts} times, the last time without an outcome: did the process end?"
            );
            Status::new(Code::Aborted, text)
        })
    }

    /// Says of deliveries that their handlers still run.
    pub(super) async fn progress(&self, replies: Vec<Subject>) {
        for reply in replies {
            self.answer(&reply, PROGRESS).await;
        }
    }

    /// Lets others have deliveries at once that nobody here will handle.
    pub(super) async fn nak_all(&self, replies: Vec<Subject>) {
        for reply in replies {
            self.answer(&reply, NAK).await;
        }
    }

    async fn answer(&self, reply: &Subject, payload: Bytes) {
        let outgoing = Outgoing {
            subject: reply.clone(),
            reply: None,
            headers: None,
            payload,
        };
        if self.consumer.connection.publish(outgoing).await.is_err() {
            tell_of_the_end();
        }
    }
}

fn tell_of_the_end() {
    tracing::warn!("the connection is closed: what was handled will be delivered again");
}
