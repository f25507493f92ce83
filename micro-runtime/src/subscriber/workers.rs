//! The workers of one subscription: a bounded wait before them, and the order in which they take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::Message;
use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::sync::mpsc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::events;
use crate::subscriber::EventHandler;

/// How the events of one subscription are handled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
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

/// Takes events off a subscription and never waits: what finds no room is dropped.
pub(crate) struct EventTarget {
    shared: Arc<Shared>,
    order: Order,
    /// One, or one per worker if each has keys of its own.
    queues: Vec<UnboundedSender<Message>>,
}

struct Shared {
    handler: EventHandler,
    settings: Settings,
    waiting: AtomicUsize,
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
        settings: Settings,
        prefix: usize,
        tasks: &TaskTracker,
        end: CancellationToken,
    ) -> Self {
        let shared = Arc::new(Shared {
            handler,
            settings,
            waiting: AtomicUsize::new(0),
            prefix,
            end,
        });
        let workers = settings.workers.max(1);
        let queues = match &order {
            Order::Arrival => 1,
            Order::Key(_) => workers,
        };
        let queues = (0..queues).map(|_| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let receiver = Arc::new(Mutex::new(receiver));
            for _ in 0..workers / queues {
                tasks.spawn(work(Arc::clone(&shared), Arc::clone(&receiver)));
            }
            sender
        });
        Self {
            queues: queues.collect(),
            shared,
            order,
        }
    }

    /// Hands an event to the workers, or drops it.
    pub(crate) fn take(&self, message: Message) {
        let counters = &self.shared.handler.counters;
        counters.received();
        let waiting = &self.shared.waiting;
        if waiting.fetch_add(1, Ordering::Relaxed) >= self.shared.settings.max_waiting {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return counters.dropped("too many wait for the handler");
        }
        let index = match &self.order {
            Order::Arrival => 0,
            Order::Key(key) => {
                let queues = self.queues.len() as u64;
                usize::try_from(key(&message.payload) % queues).unwrap_or_default()
            }
        };
        if self.queues[index].send(message).is_err() {
            waiting.fetch_sub(1, Ordering::Relaxed);
            counters.dropped("the server has stopped");
        }
    }
}

async fn work(shared: Arc<Shared>, queue: Arc<Mutex<UnboundedReceiver<Message>>>) {
    let ended = shared.end.clone().cancelled_owned();
    tokio::pin!(ended);
    let next = || async { queue.lock().await.recv().await };
    while let Some(message) = next().await {
        shared.waiting.fetch_sub(1, Ordering::Relaxed);
        if shared.end.is_cancelled() {
            shared.handler.counters.dropped("the server has stopped");
            continue;
        }
        tokio::select! {
            biased;
            () = shared.handle(message) => {}
            () = &mut ended => shared.handler.counters.dropped("the server has stopped"),
        }
    }
}

impl Shared {
    async fn handle(&self, message: Message) {
        let timeout = self.settings.timeout;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match events::context(Some(self.handler.event), &message, self.prefix, deadline) {
            // It is counted and logged; nobody else is to be told.
            Ok(ctx) => drop(self.handler.handle(ctx, message.payload).await),
            Err(status) => self.handler.counters.record(&Err(status)),
        }
    }
}
