//! `SubscriptionRegistration`: the reader's side of an open subscription, with what others have left for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use async_nats::{Message, Subscriber};

use crate::bus::moves::SubscriptionMove;
use crate::bus::open_subscriptions::SubscriptionRegistration;
use crate::bus::refusal::Refusal;
use crate::sync::lock;

impl SubscriptionRegistration {
    /// Ends the registration: NATS is asked no more, and a refusal ends nothing. What has been left can still be read.
    pub(super) fn end(&self) {
        self.all.remove(&self.own);
        let mut signals = lock(&self.own.signals);
        self.own.has_ended.store(true, Ordering::Release);
        let next = signals.next.take();
        let moves = std::mem::take(&mut signals.moves);
        drop(signals);
        drop(next);
        for begun in moves {
            drop(begun.close());
        }
    }

    /// Returns whether it is made again on the next link.
    pub(super) fn is_open(&self) -> bool {
        self.own.is_open()
    }

    /// Notes the link that the subscription is made on, before it is.
    pub(super) fn note_link(&self, link: u64) {
        self.own.note_link(link);
    }

    /// Returns once the next move to another link.
    #[cold]
    pub(super) fn take_move(&self) -> Option<Arc<SubscriptionMove>> {
        lock(&self.own.signals).moves.pop_front()
    }

    /// Returns once the subscription on the next link.
    #[cold]
    pub(super) fn take_next(&self) -> Option<Subscriber> {
        lock(&self.own.signals).next.take()
    }

    /// Returns once no probe is being made any more. None begins after [`end`](Self::end).
    pub(super) async fn finish_joins(&self) {
        drop(self.own.joins.write().await);
    }

    /// Lets the subscription end when it is refused from now on.
    pub(super) fn end_when_refused(&self) {
        lock(&self.own.signals).ends_when_refused = true;
    }

    /// Returns whether something was left for the reader: one load.
    #[inline]
    pub(super) fn has_signal(&self) -> bool {
        self.own.has_signal.load(Ordering::Acquire)
    }

    /// Returns whether the next signal wakes this task, and none is there: one load and a comparison.
    #[inline]
    pub(super) fn is_waiting(&self, cx: &Context<'_>) -> bool {
        let is_own = |waker: &Waker| waker.will_wake(cx.waker());
        self.waker.as_ref().is_some_and(is_own) && !self.has_signal()
    }

    /// Polls for a message that NATS has sent to a probe, and is woken by the next signal.
    #[cold]
    pub(super) fn poll_probes(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        let mut signals = lock(&self.own.signals);
        let probes = signals.probes.as_mut();
        let polled = probes.map_or(Poll::Pending, |probes| probes.poll(cx));
        signals.probes.take_if(|probes| probes.is_empty());
        let has_more = signals.probes.is_some()
            || signals.refusal.is_some()
            || signals.next.is_some()
            || signals.is_closed
            || !signals.moves.is_empty();
        self.own.has_signal.store(has_more, Ordering::Relaxed);
        let is_own = |waker: &Waker| waker.will_wake(cx.waker());
        if !self.waker.as_ref().is_some_and(is_own) {
            signals.reader = Some(cx.waker().clone());
            self.waker.clone_from(&signals.reader);
        }
        polled
    }

    /// Returns whether the connection is closed for good.
    #[cold]
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.own.signals).is_closed
    }

    /// Returns once the refusal that has ended the subscription.
    #[cold]
    pub(super) fn take_refusal(&mut self) -> Option<Refusal> {
        lock(&self.own.signals)
            .refusal
            .take()
            .map(|refusal| *refusal)
    }
}

impl Drop for SubscriptionRegistration {
    fn drop(&mut self) {
        self.end();
    }
}
