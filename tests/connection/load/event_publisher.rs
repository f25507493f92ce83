//! `EventPublisher`: events of core NATS from one bus to another. Those that a lost connection takes along are lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use micro_runtime::Bus;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::load::endings::Endings;
use crate::load::progress::Progress;

/// Subject of the events.
const SUBJECT: &str = "evt.load.tick";
/// Time from one event to the next.
const PAUSE: Duration = Duration::from_millis(10);

/// The publisher, the subscriber and what they count.
pub(crate) struct EventPublisher {
    pub(crate) counts: Arc<EventCounts>,
    tasks: JoinSet<()>,
}

#[derive(Default)]
pub(crate) struct EventCounts {
    published: AtomicUsize,
    received: AtomicUsize,
    pub(crate) failures: Endings,
    /// Longest time that a publish took.
    pub(crate) longest: Mutex<Duration>,
    pub(crate) progress: Progress,
}

impl EventPublisher {
    pub(crate) async fn start(publisher: &Bus, subscriber: &Bus, stop: &CancellationToken) -> Self {
        let counts = Arc::new(EventCounts::default());
        let mut events = subscriber.subscribe_raw(SUBJECT).open().await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (counts, stop) = (Arc::clone(&counts), stop.clone());
            async move {
                while let Some(Some(_)) = stop.run_until_cancelled(events.next()).await {
                    counts.received.fetch_add(1, Ordering::Relaxed);
                    counts.progress.note();
                }
                assert!(
                    stop.is_cancelled(),
                    "the subscription ended: {:?}",
                    events.error()
                );
            }
        });
        tasks.spawn({
            let (counts, stop, bus) = (Arc::clone(&counts), stop.clone(), publisher.clone());
            async move {
                while !stop.is_cancelled() {
                    counts.publish(&bus).await;
                    tokio::time::sleep(PAUSE).await; // sleep: the pace of the load
                }
            }
        });
        Self { counts, tasks }
    }

    /// Waits until publisher and subscriber have ended.
    pub(crate) async fn ended(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

impl EventCounts {
    pub(crate) fn published(&self) -> usize {
        self.published.load(Ordering::Relaxed)
    }

    pub(crate) fn received(&self) -> usize {
        self.received.load(Ordering::Relaxed)
    }

    async fn publish(&self, bus: &Bus) {
        let begun = Instant::now();
        match bus.publish_raw(SUBJECT, "tick").await {
            Ok(()) => {
                self.published.fetch_add(1, Ordering::Relaxed);
            }
            Err(status) => self.failures.add(&status),
        }
        let mut longest = self.longest.lock().unwrap();
        *longest = longest.max(begun.elapsed());
    }
}
