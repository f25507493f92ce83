//! `Line`: the events that stand before one queue's workers, and who has to wait for them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// The events that workers have or are to have, counted.
#[derive(Debug)]
pub(super) struct Line {
    workers: usize,
    all: AtomicUsize,
    /// Those of them that a worker has begun.
    begun: AtomicUsize,
    /// Those of them whose handlers wait for something.
    waiting: AtomicUsize,
    /// Whoever hands events on.
    taker: AtomicWaker,
}

impl Line {
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
    pub(super) fn join(&self) {
        self.all.fetch_add(1, Ordering::Relaxed);
    }

    /// An event could not be handed on after all.
    pub(super) fn leave(&self) {
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

    /// Says whether a worker is free, and so nobody stands in line: what was handed on earlier has
    /// been handled, where order counts.
    pub(super) fn is_free(&self) -> bool {
        self.all.load(Ordering::Acquire) < self.workers
    }

    /// Ready when no event stands here that a worker will have begun in a moment: one that is free,
    /// or whose handler `is_short` and does not wait.
    pub(super) fn poll_begun(&self, is_short: bool, cx: &mut Context<'_>) -> Poll<()> {
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

    fn is_begun(line: &Line, is_short: bool) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        line.poll_begun(is_short, cx).is_ready()
    }

    #[test]
    fn who_hands_on_waits_for_workers_that_are_about_to_begin() {
        let line = Line::new(1);
        let gate = Notify::new();
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(is_begun(&line, true) && line.is_free());
        line.join();
        line.join();
        assert!(!line.is_free());
        // The worker is free.
        assert!(!is_begun(&line, false) && !is_begun(&line, true));
        let handler = async {
            // It runs: what is short is about to end.
            assert!(is_begun(&line, false) && !is_begun(&line, true));
            gate.notified().await;
        };
        let mut first = pin!(line.run(handler));
        assert!(first.as_mut().poll(cx).is_pending());
        // It waits, nobody knows how long.
        assert!(is_begun(&line, false) && is_begun(&line, true));
        gate.notify_one();
        assert!(first.as_mut().poll(cx).is_ready());
        assert!(!is_begun(&line, false) && !is_begun(&line, true));
        assert!(pin!(line.run(async {})).poll(cx).is_ready());
        assert!(is_begun(&line, true) && line.is_free());
    }

    #[tokio::test]
    async fn who_hands_on_is_woken() {
        let line = Line::new(1);
        line.join();
        let begun = async { poll_fn(|cx| line.poll_begun(true, cx)).await };
        let ran = async {
            tokio::task::yield_now().await;
            line.run(async {}).await;
        };
        tokio::join!(biased; begun, ran);
    }
}
