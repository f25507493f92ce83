//! `Backlog`: the events that stand before one queue's workers, and who has to wait for them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// The events that workers have or are to have, counted.
#[derive(Debug)]
pub(super) struct Backlog {
    workers: usize,
    all: AtomicUsize,
    /// Those of them that a worker has begun.
    begun: AtomicUsize,
    /// Those of them whose handlers wait for something.
    waiting: AtomicUsize,
    /// Whoever hands events on.
    taker: AtomicWaker,
}

impl Backlog {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers,
            all: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            taker: AtomicWaker::new(),
        }
    }

    /// An event is handed on.
    pub(super) fn enqueued(&self) {
        self.all.fetch_add(1, Ordering::Relaxed);
    }

    /// An event could not be handed on after all.
    pub(super) fn dequeued(&self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }

    /// Runs the handler of an event that was handed on.
    pub(super) async fn run(&self, handler: impl Future<Output = ()>) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.taker.wake();
        let mut handler = pin!(handler);
        let mut waits = false;
        poll_fn(|cx| {
            let polled = handler.as_mut().poll(cx);
            if polled.is_pending() && !waits {
                waits = true;
                self.waiting.fetch_add(1, Ordering::SeqCst);
                self.taker.wake();
            }
            polled
        })
        .await;
        self.all.fetch_sub(1, Ordering::SeqCst);
        self.begun.fetch_sub(1, Ordering::SeqCst);
        self.waiting.fetch_sub(usize::from(waits), Ordering::SeqCst);
        self.taker.wake();
    }

    /// Says whether a worker is free, and so nobody stands in backlog: what was handed on earlier has
    /// been handled, where order counts.
    pub(super) fn is_free(&self) -> bool {
        self.all.load(Ordering::Acquire) < self.workers
    }

    /// Ready when no event stands here that a worker will have begun in a moment: one that is free,
    /// or whose handler `is_short` and does not wait.
    pub(super) fn poll_started(&self, is_short: bool, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_late(is_short) {
            return Poll::Ready(());
        }
        self.taker.register(cx.waker());
        match self.is_late(is_short) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    fn is_late(&self, is_short: bool) -> bool {
        let begun = self.begun.load(Ordering::SeqCst);
        let is_moving = || is_short && begun > self.waiting.load(Ordering::SeqCst);
        self.all.load(Ordering::SeqCst) > begun && (begun < self.workers || is_moving())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::sync::Notify;

    use super::*;

    fn is_begun(backlog: &Backlog, is_short: bool) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        backlog.poll_started(is_short, cx).is_ready()
    }

    #[test]
    fn who_hands_on_waits_for_workers_that_are_about_to_begin() {
        let backlog = Backlog::new(1);
        let gate = Notify::new();
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(is_begun(&backlog, true) && backlog.is_free());
        backlog.enqueued();
        backlog.enqueued();
        assert!(!backlog.is_free());
        // The worker is free.
        assert!(!is_begun(&backlog, false) && !is_begun(&backlog, true));
        let handler = async {
            // It runs: what is short is about to end.
            assert!(is_begun(&backlog, false) && !is_begun(&backlog, true));
            gate.notified().await;
        };
        let mut first = pin!(backlog.run(handler));
        assert!(first.as_mut().poll(cx).is_pending());
        // It waits, nobody knows how long.
        assert!(is_begun(&backlog, false) && is_begun(&backlog, true));
        gate.notify_one();
        assert!(first.as_mut().poll(cx).is_ready());
        assert!(!is_begun(&backlog, false) && !is_begun(&backlog, true));
        assert!(pin!(backlog.run(async {})).poll(cx).is_ready());
        assert!(is_begun(&backlog, true) && backlog.is_free());
    }

    #[tokio::test]
    async fn who_hands_on_is_woken() {
        let backlog = Backlog::new(1);
        backlog.enqueued();
        let begun = async { poll_fn(|cx| backlog.poll_started(true, cx)).await };
        let ran = async {
            tokio::task::yield_now().await;
            backlog.run(async {}).await;
        };
        tokio::join!(biased; begun, ran);
    }
}
