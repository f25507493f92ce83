//! `MovingSubscription`: the reader's end of a subscription that moves from one link to the next.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use crate::bus::moves::repeats::Repeats;
use crate::bus::moves::subscription_move::{MovePhase, SubscriptionMove};

/// Time for which messages of the new link are compared with those of the old one behind its end: they may take another
/// way through the cluster.
pub(super) const REPEAT_TIME: Duration = Duration::from_secs(5);

/// One subscription on two links.
pub(in crate::bus) struct MovingSubscription {
    shared: Arc<SubscriptionMove>,
    old: Old,
    has_old_ended: bool,
    next: Option<Subscriber>,
    /// What has come on the new link so far.
    backlog: VecDeque<(Instant, Message)>,
    repeats: Repeats,
    /// Of the move before, where this one follows on its heels: the old link is the new one of that.
    earlier: Option<Repeats>,
    /// When the old one had ended.
    ended: Option<Instant>,
    is_closed: bool,
    /// Whether the old subscription goes on alone, since the move has failed.
    is_aborted: bool,
}

/// The subscription on the old link.
enum Old {
    Reading(Subscriber),
    /// Its end is being sent.
    Leaving(BoxFuture<'static, Subscriber>),
    /// The moment in which one of the others replaces the other.
    Taken,
}

impl MovingSubscription {
    pub(in crate::bus) fn new(old: Subscriber, shared: Arc<SubscriptionMove>) -> Self {
        Self {
            shared,
            old: Old::Reading(old),
            has_old_ended: false,
            next: None,
            backlog: VecDeque::new(),
            repeats: Repeats::default(),
            earlier: None,
            ended: None,
            is_closed: false,
            is_aborted: false,
        }
    }

    /// Goes on with the next move, which has begun already, if nothing is left to read on the old link of this one.
    /// `begun` returns that.
    pub(in crate::bus) fn follow_up(
        &mut self,
        begun: impl FnOnce() -> Option<Arc<SubscriptionMove>>,
    ) -> Option<Self> {
        if self.ended.is_none() || !self.backlog.is_empty() || self.is_closed {
            return None;
        }
        let next = self.next.take()?;
        let Some(begun) = begun() else {
            self.next = Some(next);
            return None;
        };
        let mut following = Self::new(next, begun);
        following.earlier = Some(std::mem::take(&mut self.repeats));
        Some(following)
    }

    /// Polls for the next message; `None` once both have ended.
    pub(in crate::bus) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let (phase, next) = self.shared.look(cx);
        self.next = next.or(self.next.take());
        let is_in_group = self.shared.is_in_group();
        if phase == MovePhase::Aborted {
            return self.poll_aborted(cx);
        }
        if is_in_group && phase >= MovePhase::Leaving {
            self.poll_leave(cx);
        }
        while let Poll::Ready(message) = self.poll_old(phase, cx) {
            if !is_in_group {
                self.repeats.note(&message, Instant::now());
            }
            let earlier = self.earlier.as_mut();
            if !earlier.is_some_and(|earlier| earlier.take(&message, Instant::now())) {
                return Poll::Ready(Some(message));
            }
        }
        if is_in_group || self.has_old_ended {
            return self.poll_new(cx);
        }
        while let Poll::Ready(Some(message)) = poll_subscriber(self.next.as_mut(), cx) {
            self.backlog.push_back((Instant::now(), message));
        }
        Poll::Pending
    }

    /// Polls the old subscription behind a move that has failed. What NATS sent to the other member of the group is
    /// read first, to the end of its link; without a group all of it comes on the old link, too.
    fn poll_aborted(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if !self.shared.is_in_group() {
            self.backlog.clear();
            self.next = None;
        }
        match poll_subscriber(self.next.as_mut(), cx) {
            Poll::Ready(Some(message)) => return Poll::Ready(Some(message)),
            Poll::Ready(None) => self.next = None,
            Poll::Pending => {}
        }
        if self.next.is_none() && !self.is_aborted {
            self.is_aborted = true;
            // Another move may have begun meanwhile.
            cx.waker().wake_by_ref();
        }
        match &mut self.old {
            Old::Reading(old) => old.poll_next_unpin(cx),
            Old::Leaving(_) | Old::Taken => Poll::Pending,
        }
    }

    /// Returns the subscription to go on with, once the move is over for the reader.
    pub(in crate::bus) fn take_moved(&mut self) -> Option<Subscriber> {
        if self.is_aborted && !self.is_closed {
            return match std::mem::replace(&mut self.old, Old::Taken) {
                Old::Reading(old) => Some(old),
                other => {
                    self.old = other;
                    None
                }
            };
        }
        // In a group nothing comes twice, nor if the move has failed.
        let expects_none = self.shared.is_in_group() || self.next.is_none();
        let is_over = |ended: Instant| expects_none || ended.elapsed() >= REPEAT_TIME;
        if !self.ended.is_some_and(is_over) || !self.backlog.is_empty() || self.is_closed {
            return None;
        }
        match (
            self.next.take(),
            std::mem::replace(&mut self.old, Old::Taken),
        ) {
            (Some(next), _) => Some(next),
            (None, Old::Reading(old)) => Some(old),
            (None, other) => {
                self.old = other;
                None
            }
        }
    }

    /// Lets NATS route no further messages here; those on the way still arrive.
    pub(in crate::bus) async fn stop(&mut self) {
        self.next = self.shared.close().or(self.next.take());
        self.finish_leaving().await;
        if let Old::Reading(old) = &mut self.old {
            let _ = old.unsubscribe_after(u64::MAX).await;
        }
        if let Some(next) = &mut self.next {
            let _ = next.unsubscribe_after(u64::MAX).await;
        }
    }

    /// Ends both: what has arrived can still be read.
    pub(in crate::bus) async fn close(&mut self) {
        self.next = self.shared.close().or(self.next.take());
        self.is_closed = true;
        self.finish_leaving().await;
        if let Old::Reading(old) = &mut self.old {
            let _ = old.unsubscribe().await;
        }
        if let Some(next) = &mut self.next {
            let _ = next.unsubscribe().await;
        }
    }

    async fn finish_leaving(&mut self) {
        if let Old::Leaving(leaving) = &mut self.old {
            self.old = Old::Reading(leaving.await);
        }
    }

    /// Ends the old subscription, so that what NATS has sent it still arrives.
    fn poll_leave(&mut self, cx: &mut Context<'_>) {
        if self.ended.is_some() || self.shared.has_left() {
            return;
        }
        self.old = match std::mem::replace(&mut self.old, Old::Taken) {
            Old::Reading(mut old) => Old::Leaving(
                async move {
                    // An error if the link is lost: nothing comes on it then.
                    let _ = old.unsubscribe_after(u64::MAX).await;
                    old
                }
                .boxed(),
            ),
            other => other,
        };
        if let Old::Leaving(leaving) = &mut self.old
            && let Poll::Ready(old) = leaving.poll_unpin(cx)
        {
            self.old = Old::Reading(old);
            self.shared.note_left();
        }
    }

    /// Polls for a message of the old link.
    fn poll_old(&mut self, phase: MovePhase, cx: &mut Context<'_>) -> Poll<Message> {
        let Old::Reading(old) = &mut self.old else {
            return Poll::Pending;
        };
        if self.has_old_ended {
            return Poll::Pending;
        }
        // Without the cooperative budget: once that is used up, a channel with messages returns `Pending`.
        let polled = match phase {
            MovePhase::Ended => pin!(unconstrained(old.next())).poll(cx),
            MovePhase::Both | MovePhase::Leaving | MovePhase::Aborted => old.poll_next_unpin(cx),
        };
        match polled {
            Poll::Ready(Some(message)) => return Poll::Ready(message),
            Poll::Ready(None) => self.has_old_ended = true,
            Poll::Pending => self.has_old_ended = phase == MovePhase::Ended,
        }
        if self.has_old_ended {
            self.ended = Some(Instant::now());
        }
        Poll::Pending
    }

    /// Polls for a message of the new link that did not come on the old one.
    fn poll_new(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            let (came, message) = match self.backlog.pop_front() {
                Some(kept) => kept,
                None => match poll_subscriber(self.next.as_mut(), cx) {
                    Poll::Ready(Some(message)) => (Instant::now(), message),
                    Poll::Ready(None) if self.has_old_ended => return Poll::Ready(None),
                    _ if self.has_old_ended && self.next.is_none() && self.is_closed => {
                        return Poll::Ready(None);
                    }
                    _ => return Poll::Pending,
                },
            };
            if !self.repeats.take(&message, came) {
                return Poll::Ready(Some(message));
            }
        }
    }
}

impl Drop for MovingSubscription {
    fn drop(&mut self) {
        drop(self.shared.close());
    }
}

fn poll_subscriber(
    subscriber: Option<&mut Subscriber>,
    cx: &mut Context<'_>,
) -> Poll<Option<Message>> {
    subscriber.map_or(Poll::Pending, |subscriber| subscriber.poll_next_unpin(cx))
}
