//! One delivery that is not acknowledged yet.

use std::sync::Arc;

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;

use crate::context::Delivery;
use crate::jetstream::in_flight::{InFlight, InFlightGuard};

/// One delivery in hand.
pub(super) struct PendingDelivery {
    pub(super) subject: Subject,
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
    pub(super) delivery: Delivery,
    pub(super) reply: Subject,
    hold: Option<InFlightGuard>,
}

impl PendingDelivery {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// The subject of what is no delivery.
    pub(super) fn read(message: Message, stream: &Arc<str>) -> Result<Self, Subject> {
        let Message {
            subject,
            headers,
            payload,
            reply,
            ..
        } = message;
        let reply = reply.unwrap_or_else(|| Subject::from_static(""));
        match Delivery::parse(stream, &reply) {
            Some(delivery) => Ok(Self {
                subject,
                headers,
                payload,
                delivery,
                reply,
                hold: None,
            }),
            None => Err(subject),
        }
    }

    /// Counts it among those in hand until it is dropped: its progress is reported.
    pub(super) fn hold(&mut self, held: &Arc<InFlight>) {
        self.hold = Some(held.take(self.reply.clone()));
    }
}
