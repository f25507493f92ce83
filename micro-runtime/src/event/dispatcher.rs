//! `EventDispatcher`: takes the events off one subscription and runs each in place, queues it for a
//! worker, or drops it.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use async_nats::Message;

use crate::bus::CarrierSubscription;
use crate::event::handler::{EventHandler, InlineRunner};
use crate::event::source_scope::SourceScope;
use crate::event::workers::{WorkerQueue, WorkerScope, WorkerSettings, WorkerTask};
use crate::execute::{PollTimer, catch_panic};
use crate::memory_budget::memory_of;
use crate::wire::BrokerMessage;

/// Maximum number of events taken in one poll, before the loop looks at the phase of its server.
const MAX_PER_POLL: usize = 64;

/// The order in which the events of one subscription are handled.
#[derive(Clone)]
pub(crate) enum EventOrder {
    /// All workers take from one queue. With one worker this keeps the order of arrival.
    Arrival,
    /// Each worker has a queue of its own, which the hash of an event's key selects. Events with the same
    /// key are handled in the order of arrival.
    Key(Arc<dyn Fn(&Message) -> u64 + Send + Sync>),
}

/// The side of a subscription that reads it; it never waits for a handler.
///
/// An event takes one of three ways:
///
/// | way | when |
/// |---|---|
/// | in place, in the loop that reads the subscription | the handlers have proved short ([`PollCost`](crate::execute::PollCost)) and a worker of the event's queue is idle |
/// | into a worker's queue | otherwise, while fewer than `max_waiting` events are queued and memory is left for them |
/// | dropped and counted | otherwise, and once the grace period of the server is over |
///
/// Dropping it closes the queues: the workers end once they have handled what is queued.
pub(crate) struct EventDispatcher {
    scope: Arc<WorkerScope>,
    order: EventOrder,
    /// One queue, or one per worker for [`EventOrder::Key`].
    queues: Vec<WorkerQueue>,
    inline: InlineRunner,
    timer: PollTimer,
    is_closing: bool,
}

impl EventDispatcher {
    /// Starts the workers among the tasks of the server.
    ///
    /// Once the grace period has ended, handlers are dropped and further events are dropped.
    pub(crate) fn start(
        handler: EventHandler,
        order: EventOrder,
        settings: WorkerSettings,
        source: &SourceScope,
    ) -> Self {
        let inline = handler.inline_runner();
        let scope = Arc::new(WorkerScope::new(handler, settings, source));
        let workers = settings.workers.max(1);
        let queues = match &order {
            EventOrder::Arrival => 1,
            EventOrder::Key(_) => workers,
        };
        Self {
            queues: (0..queues)
                .map(|_| WorkerQueue::start(&scope, workers / queues, &source.tasks))
                .collect(),
            scope,
            order,
            inline,
            timer: PollTimer::default(),
            is_closing: false,
        }
    }

    /// Announces that the subscription is closed, so that only messages that have arrived follow. From then
    /// on nothing waits for workers that are about to start: the server is stopping, and the rest is queued
    /// (or dropped above `max_waiting`) at once.
    pub(crate) fn close(&mut self) {
        self.is_closing = true;
    }

    /// Takes the events that have arrived; `false` at the end of the subscription.
    ///
    /// Ready with `true` after [`MAX_PER_POLL`] events as well, so that a subscription that is never idle
    /// cannot keep its caller from stopping.
    pub(crate) fn poll_dispatch(
        &mut self,
        subscription: &mut CarrierSubscription,
        cx: &mut TaskContext<'_>,
    ) -> Poll<bool> {
        if let (EventOrder::Arrival, [queue], false) = (&self.order, &*self.queues, self.is_closing)
        {
            // With ever more events queued behind those that workers have, none would run in place again
            // (see `Backlog`). Keys do not wait: the next event mostly belongs to another queue, and a
            // worker that is about to start must not hold up the events of all other keys.
            let is_short = self.scope.cost.is_short();
            ready!(queue.backlog.poll_started(is_short, cx));
        }
        let is_over = self.scope.end.is_cancelled();
        for _ in 0..MAX_PER_POLL {
            match subscription.poll_next(cx) {
                Poll::Ready(Some(message)) => self.dispatch(message, is_over),
                Poll::Ready(None) => return Poll::Ready(false),
                Poll::Pending => {
                    self.timer.stop(&self.scope.cost);
                    return Poll::Pending;
                }
            }
        }
        self.timer.stop(&self.scope.cost);
        Poll::Ready(true)
    }

    fn dispatch(&mut self, message: Message, is_over: bool) {
        let counters = &self.scope.handler.counters;
        counters.record_received();
        if let Some(made) = BrokerMessage::of(&message) {
            return counters.record_of_nats(&made.into_event_failure());
        }
        let index = match &self.order {
            EventOrder::Arrival => 0,
            EventOrder::Key(key) => {
                let queues = self.queues.len() as u64;
                match catch_panic(|| key(&message)) {
                    Ok(key) => usize::try_from(key % queues).unwrap_or_default(),
                    Err(panic) => return self.scope.handler.key_panicked(&panic),
                }
            }
        };
        let queue = &self.queues[index];
        if self.scope.cost.is_short() && queue.backlog.has_idle_worker() {
            return match is_over {
                true => self.scope.record_stopped(),
                false => self.run_inline(message, index),
            };
        }
        // The timer must measure nothing but polls in place.
        self.timer.stop(&self.scope.cost);
        let queued = &self.scope.queued;
        if !queued.try_acquire() {
            let counters = &self.scope.handler.counters;
            return counters.record_dropped("too many wait for the handler");
        }
        let bytes = memory_of(&message);
        if !self.scope.queued_bytes.try_add(bytes) {
            queued.release();
            let counters = &self.scope.handler.counters;
            return counters
                .record_dropped("those that wait take half of the server's memory budget");
        }
        if !queue.send(WorkerTask::Handle(message)) {
            queued.release();
            self.scope.queued_bytes.remove(bytes);
            self.scope.record_stopped();
        }
    }

    /// Polls an event's handler once in place, and sends a handler that is not ready to a worker.
    ///
    /// A worker is idle, so that the suspended handler is taken at once: it does not count as queued.
    fn run_inline(&mut self, message: Message, index: usize) {
        let reusable = self.inline.reusable_context();
        let (ctx, payload) = match self.scope.read(message, reusable) {
            Ok(read) => read,
            Err(status) => return self.scope.handler.counters.record(Some(&status)),
        };
        self.timer.start();
        let handled = self.inline.handle(ctx, payload);
        self.timer.count(&self.scope.cost);
        if let Err(execution) = handled
            && !self.queues[index].send(WorkerTask::Resume(execution))
        {
            self.scope.record_stopped();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;

    use super::*;
    use crate::bus::Bus;
    use crate::context::Context;
    use crate::descriptor::EventDescriptor;
    use crate::event::counters::EventCounters;

    static BARE: EventDescriptor = EventDescriptor::new("test.Bare", "evt.bare", &[]);

    #[tokio::test]
    async fn nothing_is_read_while_a_worker_is_about_to_start() {
        let bus = Bus::in_process();
        let subscription = bus.serving().subscribe("evt.bare".into(), None);
        let mut subscription = subscription.await.unwrap();
        let handler = EventHandler {
            event: &BARE,
            counters: Arc::new(EventCounters::new(&BARE)),
            subscriber: Arc::new(|_: Context, _: Bytes| async { Ok(()) }),
        };
        let counters = Arc::clone(&handler.counters);
        let counts = || (counters.stats().received, counters.stats().handled);
        let settings = WorkerSettings {
            workers: 1,
            max_waiting: 100,
            timeout: None,
        };
        let source = SourceScope::for_test();
        let mut dispatcher =
            EventDispatcher::start(handler, EventOrder::Arrival, settings, &source);
        let mut dispatch = || {
            let cx = &mut TaskContext::from_waker(Waker::noop());
            assert!(dispatcher.poll_dispatch(&mut subscription, cx).is_pending());
        };
        let publish = async || {
            for _ in 0..3 {
                bus.publish_raw("evt.bare", "").await.unwrap();
            }
        };
        publish().await;
        dispatch();
        assert_eq!(counts(), (3, 0), "the handler has not proved short yet");
        publish().await;
        dispatch();
        assert_eq!(
            counts(),
            (3, 0),
            "the worker is idle, and three events are queued for it"
        );
        while counts() != (3, 3) {
            tokio::task::yield_now().await;
        }
        dispatch();
        assert_eq!(counts(), (6, 6), "in place");
    }
}
