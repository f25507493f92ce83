//! `SubscriptionMove`: what the task that moves a subscription and its reader leave for each other.

use std::sync::Mutex;
use std::task::{Context, Waker};

use async_nats::Subscriber;
use tokio_util::sync::CancellationToken;

use crate::sync::lock;

/// The move of one subscription.
pub(in crate::bus) struct SubscriptionMove {
    /// Whether NATS sends each message to one of the two subscriptions.
    is_in_group: bool,
    state: Mutex<State>,
    /// Canceled once the reader has left the old link, or never reads again.
    left: CancellationToken,
}

#[derive(Default)]
struct State {
    phase: MovePhase,
    next: Option<Subscriber>,
    reader: Option<Waker>,
    /// Whether the reader takes no subscription any more.
    is_closed: bool,
}

/// How far a move has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MovePhase {
    /// Messages may come on both links.
    #[default]
    Both,
    /// The old subscription is ended, and what NATS has sent it still arrives.
    Leaving,
    /// Nothing further comes on the old link.
    Ended,
    /// The new link was given up, and the old one goes on.
    Aborted,
}

impl SubscriptionMove {
    pub(in crate::bus) fn new(is_in_group: bool) -> Self {
        Self {
            is_in_group,
            state: Mutex::default(),
            left: CancellationToken::new(),
        }
    }

    /// Leaves the subscription on the new link for the reader, unless that reads no more.
    pub(in crate::bus) fn subscribed(&self, next: Subscriber) {
        let mut rejected = Some(next);
        self.change(|state| {
            if !state.is_closed {
                state.next = rejected.take();
            }
        });
    }

    /// Lets the reader leave the old link.
    pub(in crate::bus) fn leave(&self) {
        self.change(|state| state.phase = state.phase.max(MovePhase::Leaving));
    }

    /// Returns once the old subscription was ended, where that matters. Cancel safe.
    pub(in crate::bus) async fn left(&self) {
        if self.is_in_group {
            self.left.cancelled().await;
        }
    }

    /// Ends the move: the reader goes on with the new link alone, or with the old one if there is no new one.
    pub(in crate::bus) fn end(&self) {
        self.change(|state| state.phase = state.phase.max(MovePhase::Ended));
    }

    /// Ends a move that has failed before anything left the old link: the reader goes on with that alone.
    pub(in crate::bus) fn abort(&self) {
        self.left.cancel();
        self.change(|state| state.phase = MovePhase::Aborted);
    }

    pub(super) fn is_in_group(&self) -> bool {
        self.is_in_group
    }

    /// Returns how far the move has come, and once the subscription on the new link. The next change wakes this task.
    pub(super) fn look(&self, cx: &Context<'_>) -> (MovePhase, Option<Subscriber>) {
        let mut state = lock(&self.state);
        let is_own = |waker: &Waker| waker.will_wake(cx.waker());
        if !state.reader.as_ref().is_some_and(is_own) {
            state.reader = Some(cx.waker().clone());
        }
        (state.phase, state.next.take())
    }

    /// Notes that the reader has ended the old subscription.
    pub(super) fn note_left(&self) {
        self.left.cancel();
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.is_cancelled()
    }

    /// Takes no further subscription; returns the one that was left.
    pub(in crate::bus) fn close(&self) -> Option<Subscriber> {
        self.left.cancel();
        let mut state = lock(&self.state);
        state.is_closed = true;
        state.next.take()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        change(&mut state);
        let reader = state.reader.clone();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}
