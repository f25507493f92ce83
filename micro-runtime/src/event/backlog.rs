//! `Backlog`: counts of the events that one queue's workers have, and the wait for workers that are
//! about to start.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// Counts of the events between the loop that reads a subscription and the workers of one queue.
///
/// The loop asks two questions, each before it takes an event:
///
/// - [`has_idle_worker`](Self::has_idle_worker): may this event run in place? Only if every earlier event
///   of this queue has been handled or has a worker of its own, since with one worker the order of
///   arrival must hold.
/// - [`poll_started`](Self::poll_started): must the loop wait before it reads the subscription at all?
///
/// # Why the loop waits for workers that are about to start
///
/// Suppose that an operating system interrupt makes one poll look long. The next events then go to a
/// worker, and meanwhile further ones arrive, which find the worker busy and are queued as well. Under a
/// steady load the queue never becomes empty again, and no event would ever run in place, although all
/// handlers are short: each event costs a wake-up and a move to another thread. Measured, workers took
/// 12 % of a subscriber's processor time that way, and take 1 to 2 % now (docs/PERFORMANCE.md).
///
/// So the loop reads nothing while a queued event is about to be taken by a worker: that is, while a
/// worker is idle, or while all are busy with handlers that are known to be short and are not suspended.
/// This lasts microseconds. It never waits for a suspended handler: that one waits for something of
/// unknown duration, and events that arrive must be counted and, above the limit, dropped.
///
/// # Counters
///
/// `outstanding` ≥ `started` ≥ `suspended` holds apart from the moments between two updates. The updates of
/// `started` and `suspended` are sequentially consistent, and each is followed by a wake of the loop:
/// `poll_started` registers its waker and then reads the counters again, so that an update that comes
/// between its first read and the registration is not lost.
#[derive(Debug)]
pub(super) struct Backlog {
    /// Number of workers that take from the queue.
    workers: usize,
    /// Events that were enqueued and whose handlers have not ended.
    outstanding: AtomicUsize,
    /// Those of them that a worker has taken.
    started: AtomicUsize,
    /// Those of them whose handlers have returned `Pending` at least once.
    suspended: AtomicUsize,
    /// The loop that reads the subscription, while it waits in [`poll_started`](Self::poll_started).
    reader: AtomicWaker,
}

impl Backlog {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers,
            outstanding: AtomicUsize::new(0),
            started: AtomicUsize::new(0),
            suspended: AtomicUsize::new(0),
            reader: AtomicWaker::new(),
        }
    }

    /// Counts an event, before it is put into the queue: a worker may run it at once, and
    /// [`run`](Self::run) must find it counted.
    pub(super) fn enqueued(&self) {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes an event out of the count that could not be put into the queue.
    pub(super) fn dequeued(&self) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
    }

    /// Runs the handler of an enqueued event in a worker, and keeps the counts.
    ///
    /// A worker must have budget of tokio when it calls this, or its handler would count as suspended at
    /// once: see `wait_for_budget` in `workers`.
    pub(super) async fn run(&self, handler: impl Future<Output = ()>) {
        self.started.fetch_add(1, Ordering::SeqCst);
        self.reader.wake();
        let mut handler = pin!(handler);
        let mut is_suspended = false;
        poll_fn(|cx| {
            let polled = handler.as_mut().poll(cx);
            if polled.is_pending() && !is_suspended {
                is_suspended = true;
                self.suspended.fetch_add(1, Ordering::SeqCst);
                self.reader.wake();
            }
            polled
        })
        .await;
        self.outstanding.fetch_sub(1, Ordering::SeqCst);
        self.started.fetch_sub(1, Ordering::SeqCst);
        self.suspended
            .fetch_sub(usize::from(is_suspended), Ordering::SeqCst);
        self.reader.wake();
    }

    /// Returns whether a worker is idle and nothing is queued for it. With one worker all earlier events
    /// have been handled then, so that running the next one in place keeps their order.
    pub(super) fn has_idle_worker(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) < self.workers
    }

    /// Ready unless a queued event is about to be taken by a worker: an idle one, or one whose handler
    /// `is_short` and is not suspended.
    pub(super) fn poll_started(&self, is_short: bool, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_start_imminent(is_short) {
            return Poll::Ready(());
        }
        self.reader.register(cx.waker());
        match self.is_start_imminent(is_short) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    fn is_start_imminent(&self, is_short: bool) -> bool {
        let started = self.started.load(Ordering::SeqCst);
        let is_one_ending = || is_short && started > self.suspended.load(Ordering::SeqCst);
        self.outstanding.load(Ordering::SeqCst) > started
            && (started < self.workers || is_one_ending())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::sync::Notify;

    use super::*;

    fn is_started(backlog: &Backlog, is_short: bool) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        backlog.poll_started(is_short, cx).is_ready()
    }

    #[test]
    fn the_reader_waits_for_workers_that_are_about_to_start() {
        let backlog = Backlog::new(1);
        let gate = Notify::new();
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(is_started(&backlog, true) && backlog.has_idle_worker());
        backlog.enqueued();
        backlog.enqueued();
        assert!(!backlog.has_idle_worker());
        // The worker is idle.
        assert!(!is_started(&backlog, false) && !is_started(&backlog, true));
        let handler = async {
            // The handler runs: a short one is about to end.
            assert!(is_started(&backlog, false) && !is_started(&backlog, true));
            gate.notified().await;
        };
        let mut first = pin!(backlog.run(handler));
        assert!(first.as_mut().poll(cx).is_pending());
        // The handler is suspended, for an unknown time.
        assert!(is_started(&backlog, false) && is_started(&backlog, true));
        gate.notify_one();
        assert!(first.as_mut().poll(cx).is_ready());
        assert!(!is_started(&backlog, false) && !is_started(&backlog, true));
        assert!(pin!(backlog.run(async {})).poll(cx).is_ready());
        assert!(is_started(&backlog, true) && backlog.has_idle_worker());
    }

    #[tokio::test]
    async fn the_waiting_reader_is_woken_when_a_worker_starts() {
        let backlog = Backlog::new(1);
        backlog.enqueued();
        let started = async { poll_fn(|cx| backlog.poll_started(true, cx)).await };
        let ran = async {
            tokio::task::yield_now().await;
            backlog.run(async {}).await;
        };
        tokio::join!(biased; started, ran);
    }
}
