//! `ProbeSubscriptions`: the subscriptions by which NATS is asked about a queue group, as the reader of one of its
//! members reads them.
//!
//! NATS sends each message of a queue group to one member only. For the moment for which a probe is a member it may get
//! one, which belongs to the subscription that NATS is asked about. So the reader of that one reads the probe as well,
//! before its own messages: none is lost, and one that was published before another one is late only where both were on
//! their way at that moment.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use async_nats::Message;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::task::coop::unconstrained;

/// Messages that arrive for one probe.
pub(super) type ProbeMessages = BoxStream<'static, Message>;

/// The probes of one subscription, and what has arrived for those that are over.
#[derive(Default)]
pub(super) struct ProbeSubscriptions {
    last_id: u64,
    open: Vec<(u64, ProbeMessages)>,
    /// Messages of probes that are over: so probes do not pile up where nothing reads for a while.
    arrived: VecDeque<Message>,
}

impl ProbeSubscriptions {
    /// Adds a probe; returns its number.
    pub(super) fn add(&mut self, messages: ProbeMessages) -> u64 {
        self.last_id += 1;
        self.open.push((self.last_id, messages));
        self.last_id
    }

    /// Ends a probe that NATS sends nothing more to. What has arrived for it can still be read.
    pub(super) fn end(&mut self, id: u64) {
        let Some(place) = self.open.iter().position(|(open, _)| *open == id) else {
            return;
        };
        let (_, mut messages) = self.open.remove(place);
        while let Some(Some(message)) = next(&mut messages).now_or_never() {
            self.arrived.push_back(message);
        }
    }

    /// Returns whether there is nothing to read, now and later.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.arrived.is_empty()
    }

    /// Polls every probe for a message.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        if let Some(message) = self.arrived.pop_front() {
            return Poll::Ready(message);
        }
        for (_, messages) in &mut self.open {
            // One that has ended, as with its connection, stays until it is over.
            if let Poll::Ready(Some(message)) = next(messages).poll_unpin(cx) {
                return Poll::Ready(message);
            }
        }
        Poll::Pending
    }
}

/// Returns the next message, without the cooperative budget, which would make messages that have arrived wait.
fn next(messages: &mut ProbeMessages) -> impl Future<Output = Option<Message>> + Unpin + use<'_> {
    unconstrained(messages.next())
}

#[cfg(test)]
#[path = "probe_subscriptions_tests.rs"]
mod tests;
#[cfg(test)]
pub(super) use tests::message;
