//! `InboxMove`: the hand-over from the task that reads the inbox of the old link to that of the new one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::moves::moving_subscription::REPEAT_TIME;
use crate::bus::moves::repeats::Repeats;
use crate::sync::lock;

/// The move away from the inbox of one link.
#[derive(Default)]
pub(in crate::bus) struct InboxMove {
    has_begun: AtomicBool,
    repeats: Mutex<Repeats>,
    /// Number of the task that reads the old inbox: another one follows where NATS has refused the inbox and then
    /// allowed it again.
    reading: AtomicU64,
    /// Canceled once the old task delivers nothing any more.
    ended: CancellationToken,
}

/// Held by the task that reads the old inbox, which ends with it.
pub(in crate::bus) struct ReadingGuard {
    of: Arc<InboxMove>,
    number: u64,
}

impl InboxMove {
    /// Begins before the new link subscribes.
    pub(in crate::bus) fn begin(&self) {
        self.has_begun.store(true, Ordering::Release);
    }

    /// Ends a move that has failed.
    pub(in crate::bus) fn cancel(&self) {
        self.has_begun.store(false, Ordering::Release);
        *lock(&self.repeats) = Repeats::default();
    }

    /// Returns a guard that a new task drops when it ends. Tasks before it count no more.
    pub(in crate::bus) fn reading_guard(self: &Arc<Self>) -> ReadingGuard {
        ReadingGuard {
            number: self.reading.fetch_add(1, Ordering::SeqCst) + 1,
            of: Arc::clone(self),
        }
    }

    /// Notes a message that the old task delivers: one load, unless a move has begun.
    #[inline]
    pub(in crate::bus) fn note(&self, message: &Message) {
        if self.has_begun.load(Ordering::Acquire) {
            lock(&self.repeats).note(message, Instant::now());
        }
    }

    /// Keeps what comes on the new link until the old task has ended, then delivers it without what that has
    /// delivered. Returns when no repeat is expected any more. Cancels `heard` once anything has come.
    pub(in crate::bus) async fn follow(
        &self,
        replies: &mut Subscriber,
        heard: &CancellationToken,
        deliver: impl Fn(Message),
    ) {
        let mut backlog = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = self.ended.cancelled() => break,
                next = replies.next() => match next {
                    Some(message) => {
                        heard.cancel();
                        backlog.push((Instant::now(), message));
                    }
                    None => break,
                },
            }
        }
        let mut repeats = std::mem::take(&mut *lock(&self.repeats));
        let mut deliver_new = |(came, message)| {
            if !repeats.take(&message, came) {
                deliver(message);
            }
        };
        backlog.into_iter().for_each(&mut deliver_new);
        let until = Instant::now() + REPEAT_TIME;
        while let Ok(Some(message)) = tokio::time::timeout_at(until, replies.next()).await {
            deliver_new((Instant::now(), message));
        }
    }
}

impl Drop for ReadingGuard {
    fn drop(&mut self) {
        if self.of.reading.load(Ordering::SeqCst) == self.number {
            self.of.ended.cancel();
        }
    }
}
