//! Refuses requests of a burst, cheaply: those for which the backlog has no room, and those whose callers have gone.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_nats::Message;

use crate::bus::Outgoing;
use crate::dispatch::arrival::Arrival;
use crate::dispatch::burst_refusal::BurstRefusal;
use crate::dispatch::reply::PendingReply;
use crate::dispatch::served_method::ServedMethod;
use crate::status::Reason;
use crate::wire::header::{CONTENT_TYPE, find};

impl ServedMethod {
    /// Refuses a request for which the backlog has no room; as [`dispatch`](Self::dispatch).
    pub(super) fn shed(
        self: &Arc<Self>,
        message: Message,
        arrival: Arrival,
        why: BurstRefusal,
        responder: Option<&Arc<str>>,
    ) -> Option<PendingReply<'static>> {
        self.count_shed(&message)?;
        self.refuse_in_burst(why, message, arrival, responder)
    }

    /// Counts a request that is shed; `None` for a message that is none, or that may get no reply.
    fn count_shed(&self, message: &Message) -> Option<()> {
        if self.drops.is_of_nats(message) {
            return None;
        }
        if message.reply.is_some() {
            self.server.reply_subject(message, &self.drops)?;
        }
        self.metrics.shed();
        self.stats.shed();
        Some(())
    }

    /// Counts a request that gets no reply, since the connection takes none and no memory is left for a refusal.
    #[cold]
    pub(super) fn give_up(&self, message: &Message) {
        if self.count_shed(message).is_none() {
            return;
        }
        let text = "the connection sends no replies, and as many requests wait for it as memory is left for";
        let status = Reason::Overloaded.status(text);
        self.stats.record(Duration::ZERO, Some(&status));
        self.metrics.refused(status.code());
        if message.reply.is_some() {
            self.drops.unsent_reply(status);
        }
    }

    /// Counts a request that no handler gets, and replies to it; its reply subject is allowed. Returns a reply that
    /// could not be sent at once.
    pub(super) fn refuse_in_burst(
        self: &Arc<Self>,
        why: BurstRefusal,
        message: Message,
        arrival: Arrival,
        responder: Option<&Arc<str>>,
    ) -> Option<PendingReply<'static>> {
        let max_concurrent = |limit| self.max_concurrent(limit);
        let name = self.descriptor.full_name;
        let refusal = self.burst_refusals.get(why, name, max_concurrent);
        let headers = message.headers.as_ref();
        let is_plain = headers.is_none_or(|headers| find(headers, &CONTENT_TYPE).is_none());
        if !is_plain || responder.is_some() {
            let format = Self::caller_format(std::slice::from_ref(self), headers);
            let status = refusal.status.clone();
            return self.refuse_later(status, format, message.reply, arrival, responder);
        }
        let received = arrival.received;
        self.stats.record(received.elapsed(), Some(&refusal.status));
        self.metrics.refused(refusal.status.code());
        tracing::debug!(method = name, status = %refusal.status, "refused a request");
        let pending = message.reply.and_then(|subject| {
            let outgoing = Outgoing {
                subject,
                reply: None,
                headers: Some(refusal.headers.clone()),
                payload: refusal.payload.clone(),
            };
            match self.server.replying.try_publish_whole(&outgoing) {
                Poll::Ready(Ok(())) => None,
                _ => Some(outgoing),
            }
        });
        let Some(outgoing) = pending else {
            self.trace_reply(arrival);
            return None;
        };
        let method = Arc::clone(self);
        Some(Box::pin(async move {
            if let Err(error) = method.server.leaving().publish(outgoing).await {
                method.drops.unsent_reply(error.into_status("a reply"));
            }
            method.trace_reply(arrival);
        }))
    }
}
