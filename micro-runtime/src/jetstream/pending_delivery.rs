//! `PendingDelivery`: one delivery that is not acknowledged yet.

use std::sync::Arc;

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;

use crate::context::{Context, Delivery};
use crate::jetstream::delivery_state::{DeliveryState, Judgment};
use crate::jetstream::in_flight::{InFlight, InFlightGuard, LeftDelivery};

/// A message that a consumer delivered, with the subject on which it is acknowledged.
///
/// Dropping it acknowledges nothing: JetStream delivers the event again after `ack_wait`.
pub(super) struct PendingDelivery {
    pub(super) subject: Subject,
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
    /// Sequence, number of deliveries and time, read from `reply`.
    pub(super) info: Delivery,
    /// Subject on which the delivery is acknowledged, `$JS.ACK.…`.
    pub(super) reply: Subject,
    /// Number of the stream's generation that it came in.
    pub(super) generation: u64,
    pub(super) judgment: Judgment,
    guard: Option<InFlightGuard>,
}

impl PendingDelivery {
    /// Reads a message of a consumer of `stream` in its present generation.
    ///
    /// # Errors
    ///
    /// The subject of a message whose reply subject is none of JetStream's: any client may publish to the
    /// inbox that deliveries come to.
    pub(super) fn read(
        message: Message,
        stream: &Arc<str>,
        generation: u64,
    ) -> Result<Self, Subject> {
        let Message {
            subject,
            headers,
            payload,
            reply,
            ..
        } = message;
        let reply = reply.unwrap_or_else(|| Subject::from_static(""));
        match Delivery::parse(stream, &reply) {
            Some(info) => Ok(Self {
                subject,
                headers,
                payload,
                info,
                reply,
                generation,
                judgment: Judgment::FIRST,
                guard: None,
            }),
            None => Err(subject),
        }
    }

    /// Makes one of a stored event that cannot be received, for its dead letter. `reply` is where it is acknowledged,
    /// made by [`ack`](crate::wire::ack_subject::ack).
    pub(super) fn unreceived(
        info: Delivery,
        subject: Subject,
        headers: HeaderMap,
        payload: Bytes,
        reply: Subject,
    ) -> Self {
        Self {
            subject,
            headers: Some(headers),
            payload,
            info,
            reply,
            generation: 0,
            judgment: Judgment::FIRST,
            guard: None,
        }
    }

    /// Adds it to the deliveries in flight until it is dropped, so that its progress is reported.
    pub(super) fn track(&mut self, in_flight: &Arc<InFlight>) {
        self.guard = Some(in_flight.insert(self.reply.clone(), self.info.clone()));
    }

    /// Takes the judgment of a redelivery.
    pub(super) fn judge(&mut self, judgment: Judgment) {
        self.judgment = judgment;
        self.info.set_attempt(judgment.attempt());
        if let Some(guard) = &self.guard {
            guard.judge(judgment);
        }
    }

    /// Returns what is needed to give it back; `None` unless it is tracked.
    pub(super) fn left(&self) -> Option<LeftDelivery> {
        self.guard.as_ref().and_then(InFlightGuard::left)
    }

    /// Notes that a handler begins with it.
    pub(super) fn begin(&self, ctx: &Context) {
        self.enter(DeliveryState::Begun(ctx.clone()));
    }

    /// Notes that it has its outcome, which takes a while to report.
    pub(super) fn settle(&self) {
        self.enter(DeliveryState::Settling);
    }

    fn enter(&self, state: DeliveryState) {
        if let Some(guard) = &self.guard {
            guard.enter(state);
        }
    }
}
