//! The workers of one subscription: a bounded wait before them, and the order in which they take.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Duration, Instant};

use async_nats::Message;
use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Mutex, mpsc};
use tokio::task::coop::poll_proceed;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::CarrierSubscription;
use crate::context::Context;
use crate::event;
use crate::event::backlog::Backlog;
use crate::event::handler::{EventHandler, InlineRunner, SuspendedHandler};
use crate::execute::{ConcurrencyLimit, PollCost, PollTimer};
use crate::status::Status;

/// So many events are taken before the rest of the loop has its turn.
const AT_A_TIME: usize = 64;

/// How the events of one subscription are handled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkerSettings {
    pub(crate) workers: usize,
    pub(crate) max_waiting: usize,
    pub(crate) timeout: Option<Duration>,
}

/// Which event a worker may take.
#[derive(Clone)]
pub(crate) enum Order {
    /// The next; with one worker this keeps the order of arrival.
    Arrival,
    /// The next of those whose keys lead to this worker.
    Key(Arc<dyn Fn(&Bytes) -> u64 + Send + Sync>),
}

/// Takes events off a subscription and never waits for a handler: what finds no room is dropped.
///
/// While handlers are known to be short and none is behind, they run in place, one after the other;
/// who has to wait goes on with a worker.
pub(crate) struct EventTarget {
    shared: Arc<Shared>,
    order: Order,
    /// One, or one per worker if each has keys of its own.
    queues: Vec<Queue>,
    inline: InlineRunner,
    watch: PollTimer,
    is_closing: bool,
}

/// A way to workers.
struct Queue {
    sender: UnboundedSender<Task>,
    backlog: Arc<Backlog>,
}

/// What a worker does next.
enum Task {
    Handle(Message),
    /// Its handler has begun in place and has to wait.
    Finish(SuspendedHandler),
}

struct Shared {
    handler: EventHandler,
    settings: WorkerSettings,
    pace: PollCost,
    /// Events that no worker has begun yet.
    waiting: ConcurrencyLimit,
    /// How much of each subject is the bus's.
    prefix: usize,
    /// The grace period is over.
    end: CancellationToken,
}

impl EventTarget {
    /// Starts the workers, which end when this is dropped and everything is handled.
    pub(crate) fn start(
        handler: EventHandler,
        order: Order,
        settings: WorkerSettings,
        prefix: usize,
        tasks: &TaskTracker,
        end: CancellationToken,
    ) -> Self {
        let inline = handler.inline();
        let shared = Arc::new(Shared {
            handler,
            settings,
            pace: PollCost::new(),
            waiting: ConcurrencyLimit::new(settings.max_waiting),
            prefix,
            end,
        });
        let workers = settings.workers.max(1);
        let queues = match &order {
            Order::Arrival => 1,
            Order::Key(_) => workers,
        };
        let workers = workers / queues;
        let queues = (0..queues).map(|_| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let receiver = Arc::new(Mutex::new(receiver));
            let backlog = Arc::new(Backlog::new(workers));
            for _ in 0..workers {
                let (shared, backlog) = (Arc::clone(&shared), Arc::clone(&backlog));
                tasks.spawn(work(shared, backlog, Arc::clone(&receiver)));
            }
            Queue { sender, backlog }
        });
        Self {
            queues: queues.collect(),
            shared,
            order,
            inline,
            watch: PollTimer::default(),
            is_closing: false,
        }
    }

    /// What is there is all that comes: it need not wait for workers to be handed to them.
    pub(crate) fn close(&mut self) {
        self.is_closing = true;
    }

    /// Takes what is there of a subscription; `false` at its end. Ready now and then, so that its
    /// caller can look after the rest.
    pub(crate) fn poll_take(
        &mut self,
        subscription: &mut CarrierSubscription,
        cx: &mut TaskContext<'_>,
    ) -> Poll<bool> {
        if let (Order::Arrival, [queue], false) = (&self.order, &*self.queues, self.is_closing) {
            // With ever more events behind those that workers have, nothing would be handled in
            // place again. Among keys one would hold up the others.
            let is_short = self.shared.pace.is_short();
            ready!(queue.backlog.poll_started(is_short, cx));
        }
        let is_over = self.shared.end.is_cancelled();
        for _ in 0..AT_A_TIME {
            match subscription.poll_next(cx) {
                Poll::Ready(Some(message)) => self.take(message, is_over),
                Poll::Ready(None) => return Poll::Ready(false),
                Poll::Pending => {
                    self.watch.stop(&self.shared.pace);
                    return Poll::Pending;
                }
            }
        }
        self.watch.stop(&self.shared.pace);
        Poll::Ready(true)
    }

    /// Handles an event, hands it to the workers, or drops it.
    fn take(&mut self, message: Message, is_over: bool) {
        self.shared.handler.counters.received();
        let index = match &self.order {
            Order::Arrival => 0,
            Order::Key(key) => {
                let queues = self.queues.len() as u64;
                usize::try_from(key(&message.payload) % queues).unwrap_or_default()
            }
        };
        let queue = &self.queues[index];
        if self.shared.pace.is_short() && queue.backlog.is_free() {
            return match is_over {
                true => self.shared.dropped_at_the_end(),
                false => self.take_inline(message, index),
            };
        }
        self.watch.stop(&self.shared.pace);
        let waiting = &self.shared.waiting;
        if !waiting.try_acquire() {
            let counters = &self.shared.handler.counters;
            return counters.dropped("too many wait for the handler");
        }
        if !queue.send(Task::Handle(message)) {
            waiting.release();
            self.shared.dropped_at_the_end();
        }
    }

    fn take_inline(&mut self, message: Message, index: usize) {
        let spare = self.inline.spare();
        let (ctx, payload) = match self.shared.read(message, spare) {
            Ok(read) => read,
            Err(status) => return self.shared.handler.counters.record(Some(&status)),
        };
        self.watch.start();
        let handled = self.inline.handle(ctx, payload);
        self.watch.count(&self.shared.pace);
        if let Err(started) = handled
            && !self.queues[index].send(Task::Finish(started))
        {
            self.shared.dropped_at_the_end();
        }
    }
}

impl Queue {
    fn send(&self, task: Task) -> bool {
        self.backlog.enqueued();
        let is_sent = self.sender.send(task).is_ok();
        if !is_sent {
            self.backlog.dequeued();
        }
        is_sent
    }
}

async fn work(
    shared: Arc<Shared>,
    backlog: Arc<Backlog>,
    queue: Arc<Mutex<UnboundedReceiver<Task>>>,
) {
    let next = || async { queue.lock().await.recv().await };
    while let Some(task) = next().await {
        if matches!(task, Task::Handle(_)) {
            shared.waiting.release();
        }
        wait_for_budget().await;
        backlog.run(shared.run(task)).await;
    }
}

/// Waits for this task's turn, before an event has begun: to be out of turn is not to wait for
/// something.
async fn wait_for_budget() {
    poll_fn(|cx| poll_proceed(cx).map(drop)).await;
}

impl Shared {
    async fn run(&self, task: Task) {
        if self.end.is_cancelled() {
            return self.dropped_at_the_end();
        }
        let (handler, cost) = match task {
            Task::Handle(message) => match self.read(message, None) {
                Ok((ctx, payload)) => (self.handler.suspended(ctx, payload), Some(&self.pace)),
                Err(status) => return self.handler.counters.record(Some(&status)),
            },
            // Its first poll was timed where it began.
            Task::Finish(handler) => (handler, None),
        };
        if handler.run(cost, &self.end).await.is_none() {
            self.dropped_at_the_end();
        }
    }

    fn read(&self, message: Message, spare: Option<Context>) -> Result<(Context, Bytes), Status> {
        let timeout = self.settings.timeout;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let Message {
            subject,
            headers,
            payload,
            ..
        } = message;
        let (event, headers) = (Some(self.handler.event), headers.as_ref());
        let ctx = event::context(event, subject, headers, self.prefix, deadline, spare)?;
        Ok((ctx, payload))
    }

    fn dropped_at_the_end(&self) {
        let counters = &self.handler.counters;
        counters.dropped("the server has stopped");
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::task::Waker;

    use tokio::task::coop::has_budget_remaining;

    use super::*;
    use crate::bus::Bus;
    use crate::descriptor::EventDescriptor;
    use crate::event::counters::EventCounters;

    static BARE: EventDescriptor = EventDescriptor::new("test.Bare", "evt.bare", &[]);

    #[tokio::test]
    async fn nothing_is_taken_while_a_worker_is_about_to_begin() {
        let bus = Bus::in_process();
        let subscription = bus.connection().subscribe("evt.bare".into(), None);
        let mut subscription = subscription.await.unwrap();
        let handler = EventHandler {
            event: &BARE,
            counters: Arc::new(EventCounters::new(&BARE)),
            call: Arc::new(|_: Context, _: Bytes| async { Ok(()) }),
        };
        let counters = Arc::clone(&handler.counters);
        let counts = || (counters.stats().received, counters.stats().handled);
        let settings = WorkerSettings {
            workers: 1,
            max_waiting: 100,
            timeout: None,
        };
        let tasks = TaskTracker::new();
        let end = CancellationToken::new();
        let mut target = EventTarget::start(handler, Order::Arrival, settings, 0, &tasks, end);
        let mut take = || {
            let cx = &mut TaskContext::from_waker(Waker::noop());
            assert!(target.poll_take(&mut subscription, cx).is_pending());
        };
        let publish = async || {
            for _ in 0..3 {
                bus.publish_raw("evt.bare", "").await.unwrap();
            }
        };
        publish().await;
        take();
        assert_eq!(counts(), (3, 0), "nobody knows how long the handler takes");
        publish().await;
        take();
        assert_eq!(
            counts(),
            (3, 0),
            "the worker is free, and has three before it"
        );
        while counts() != (3, 3) {
            tokio::task::yield_now().await;
        }
        take();
        assert_eq!(counts(), (6, 6), "in place");
    }

    #[tokio::test]
    async fn a_worker_that_has_had_its_turn_does_not_count_as_one_that_waits() {
        let backlog = Backlog::new(1);
        let mut spent = std::pin::pin!(async {
            while has_budget_remaining() {
                tokio::task::coop::consume_budget().await;
            }
            backlog.enqueued();
            backlog.enqueued();
            wait_for_budget().await;
            backlog.run(async {}).await;
        });
        poll_fn(|cx| {
            assert!(spent.as_mut().poll(cx).is_pending());
            assert!(
                backlog.poll_started(true, cx).is_pending(),
                "it is about to begin"
            );
            Poll::Ready(())
        })
        .await;
    }
}
