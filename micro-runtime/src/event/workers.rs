//! `WorkerQueue`: the queue of one or more worker tasks, which run the handlers that do not run in place.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Mutex, mpsc};
use tokio::task::coop::poll_proceed;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::{Context, StopSignal};
use crate::event;
use crate::event::backlog::Backlog;
use crate::event::handler::{EventExecution, EventHandler};
use crate::event::queued_bytes::QueuedBytes;
use crate::event::source_scope::SourceScope;
use crate::execute::{ConcurrencyLimit, PollCost};
use crate::memory_budget::memory_of;
use crate::status::Status;

/// Settings of the workers of one subscription; their defaults are those of
/// [`Subscription`](crate::Subscription).
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkerSettings {
    /// Maximum number of handlers at work at a time.
    pub(crate) workers: usize,
    /// Maximum number of events in all queues together; further ones are dropped.
    pub(crate) max_waiting: usize,
    /// Time that a handler may take, from when the event is taken out of the queue.
    pub(crate) timeout: Option<Duration>,
}

/// State that the dispatcher and all workers of one subscription share.
pub(super) struct WorkerScope {
    pub(super) handler: EventHandler,
    settings: WorkerSettings,
    /// First polls of this subscription's handlers.
    pub(super) cost: PollCost,
    /// Permits of the events that are queued and that no worker has taken.
    pub(super) queued: ConcurrencyLimit,
    pub(super) queued_bytes: QueuedBytes,
    /// Length of the bus's prefix with its dot, in bytes.
    prefix_len: usize,
    stop: StopSignal,
    /// Canceled at the end of the grace period.
    pub(super) end: CancellationToken,
}

/// A queue with its workers, which take from it one after the other.
///
/// The channel itself is unbounded: [`WorkerScope::queued`] bounds it, over all queues of the
/// subscription, and refuses instead of waiting.
pub(super) struct WorkerQueue {
    sender: UnboundedSender<WorkerTask>,
    pub(super) backlog: Arc<Backlog>,
}

/// One piece of work for a worker.
pub(super) enum WorkerTask {
    /// Handle an event from its beginning.
    Handle(Message),
    /// Go on with a handler whose first poll, in place, returned `Pending`.
    Resume(EventExecution),
}

impl WorkerQueue {
    /// Starts `workers` tasks, which end once the queue was dropped and is empty.
    pub(super) fn start(scope: &Arc<WorkerScope>, workers: usize, tasks: &TaskTracker) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let backlog = Arc::new(Backlog::new(workers));
        for _ in 0..workers {
            let (scope, backlog) = (Arc::clone(scope), Arc::clone(&backlog));
            tasks.spawn(work(scope, backlog, Arc::clone(&receiver)));
        }
        Self { sender, backlog }
    }

    /// Queues a task; `false` if the workers are gone, because the runtime is shutting down.
    pub(super) fn send(&self, task: WorkerTask) -> bool {
        self.backlog.enqueued();
        let is_sent = self.sender.send(task).is_ok();
        if !is_sent {
            self.backlog.dequeued();
        }
        is_sent
    }
}

/// The loop of one worker.
///
/// The workers share the receiver behind a lock that is held while one of them waits for a task. So the
/// tasks are taken in the order of the queue, and exactly one idle worker is woken for each.
async fn work(
    scope: Arc<WorkerScope>,
    backlog: Arc<Backlog>,
    queue: Arc<Mutex<UnboundedReceiver<WorkerTask>>>,
) {
    let next = || async { queue.lock().await.recv().await };
    while let Some(task) = next().await {
        if let WorkerTask::Handle(message) = &task {
            scope.queued.release();
            scope.queued_bytes.remove(memory_of(message));
        }
        wait_for_budget().await;
        backlog.run(scope.run(task)).await;
    }
}

/// Waits until this task has some of tokio's cooperative budget, and consumes none of it.
///
/// tokio gives a task 128 operations per poll; once they are used up, every channel, lock and timer
/// returns `Pending`, ready or not, until the other tasks have run. A handler that begins without budget
/// would look suspended, as if it waited for something of unknown duration: the dispatcher would stop
/// waiting for this worker and queue further events behind it ([`Backlog`]). So the worker yields before
/// the event has started. It counts as about to start meanwhile, which is what it is.
async fn wait_for_budget() {
    poll_fn(|cx| poll_proceed(cx).map(drop)).await;
}

impl WorkerScope {
    pub(super) fn new(
        handler: EventHandler,
        settings: WorkerSettings,
        scope: &SourceScope,
    ) -> Self {
        Self {
            handler,
            settings,
            cost: PollCost::new(),
            queued: ConcurrencyLimit::new(settings.max_waiting),
            queued_bytes: QueuedBytes::of(&scope.memory),
            prefix_len: scope.bus.prefix_len(),
            stop: scope.stop.clone(),
            end: scope.end.clone(),
        }
    }

    /// Runs one task to the end of its handler, and counts the outcome.
    async fn run(&self, task: WorkerTask) {
        if self.end.is_cancelled() {
            // As for every handler: it is dropped before its event is counted.
            drop(task);
            return self.record_stopped();
        }
        let (handler, cost) = match task {
            WorkerTask::Handle(message) => match self.read(message, None) {
                Ok((ctx, payload)) => (self.handler.execution(ctx, payload), Some(&self.cost)),
                Err(status) => return self.handler.counters.record(Some(&status)),
            },
            // Its first poll was timed in place.
            WorkerTask::Resume(handler) => (handler, None),
        };
        if handler.run(cost, &self.end, None).await.is_none() {
            self.record_stopped();
        }
    }

    /// Reads a message as a context and the bytes of an event. The handler's timeout begins here.
    ///
    /// # Errors
    ///
    /// As [`event::receive`]; the event counts as undecodable.
    pub(super) fn read(
        &self,
        message: Message,
        reusable: Option<Context>,
    ) -> Result<(Context, Bytes), Status> {
        let timeout = self.settings.timeout;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let event = self.handler.event;
        let (prefix_len, stop) = (self.prefix_len, Some(&self.stop));
        let counters = &self.handler.counters;
        let on_malformed = |values| counters.record_malformed_headers(values);
        event::receive(
            event,
            message,
            prefix_len,
            deadline,
            stop,
            reusable,
            on_malformed,
        )
    }

    /// Counts an event that the end of the server left without an outcome.
    pub(super) fn record_stopped(&self) {
        self.handler.counters.record_stopped();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::task::Poll;

    use tokio::task::coop::has_budget_remaining;

    use super::*;
    use crate::descriptor::EventDescriptor;
    use crate::event::counters::EventCounters;
    use crate::execute::Journal;

    static BARE: EventDescriptor = EventDescriptor::new("test.Bare", "evt.bare", &[]);

    /// Notes that it was dropped.
    struct NotesDrop(Journal);

    impl Drop for NotesDrop {
        fn drop(&mut self) {
            self.0.note("dropped");
        }
    }

    #[tokio::test]
    async fn a_suspended_handler_that_is_queued_at_the_stop_is_dropped_within_its_span() {
        let (journal, _guard) = Journal::of_spans();
        let notes = journal.clone();
        let handler = EventHandler {
            event: &BARE,
            counters: Arc::new(EventCounters::new(&BARE)),
            subscriber: Arc::new(move |_: Context, _: Bytes| {
                let guard = NotesDrop(notes.clone());
                async move {
                    let _guard = guard;
                    std::future::pending().await
                }
            }),
        };
        let counters = Arc::clone(&handler.counters);
        let mut inline = handler.inline_runner();
        let Err(suspended) = inline.handle(Context::for_test(), Bytes::new()) else {
            panic!("the handler waits");
        };
        assert_eq!(journal.take(), ["entered", "left"]);
        let settings = WorkerSettings {
            workers: 1,
            max_waiting: 1,
            timeout: None,
        };
        let source = SourceScope::for_test();
        source.end.cancel();
        let scope = WorkerScope::new(handler, settings, &source);
        scope.run(WorkerTask::Resume(suspended)).await;
        assert_eq!(journal.take(), ["entered", "dropped", "left"]);
        assert_eq!(counters.stats().dropped, 1);
    }

    #[tokio::test]
    async fn a_worker_without_budget_is_about_to_start_and_not_suspended() {
        let backlog = Backlog::new(1);
        let mut worker = std::pin::pin!(async {
            while has_budget_remaining() {
                tokio::task::coop::consume_budget().await;
            }
            backlog.enqueued();
            backlog.enqueued();
            wait_for_budget().await;
            backlog.run(async {}).await;
        });
        poll_fn(|cx| {
            assert!(worker.as_mut().poll(cx).is_pending());
            assert!(
                backlog.poll_started(true, cx).is_pending(),
                "the worker is about to start"
            );
            Poll::Ready(())
        })
        .await;
    }
}
