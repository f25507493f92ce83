//! `DurableEvents`: events that are stored by one bus and consumed by another. None that was acknowledged is lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::jetstream::{Durable, EventStream};
use micro_runtime::{Bus, Context, Server, Status, Subscriber};
use micro_tests::market::Trade;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::load::endings::Endings;
use crate::load::progress::Progress;

/// Number of publishers.
const PUBLISHERS: usize = 4;
/// Time from one event of a publisher to the next.
const PAUSE: Duration = Duration::from_millis(20);

/// The publishers and what they count.
pub(crate) struct DurableEvents {
    pub(crate) counts: Arc<DurableCounts>,
    tasks: JoinSet<()>,
}

#[derive(Default)]
pub(crate) struct DurableCounts {
    events: Mutex<Vec<StoredEvent>>,
    pub(crate) failures: Endings,
    /// First delivery.
    pub(crate) progress: Progress,
    changed: Notify,
}

/// One event, by its number.
#[derive(Clone, Copy, Default)]
struct StoredEvent {
    is_acknowledged: bool,
    deliveries: u16,
}

/// Numbers of events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DurableFigures {
    pub(crate) acknowledged: usize,
    /// Number of those that no consumer got.
    pub(crate) lost: usize,
    /// Number of deliveries beyond the first.
    pub(crate) redelivered: usize,
}

/// The stream that stores the events.
pub(crate) fn event_stream(replicas: usize) -> EventStream {
    EventStream::named("MARKET")
        .subject("evt.market.>")
        .replicas(replicas)
}

/// Adds the consumer to a server.
pub(crate) fn consume(server: Server, counts: &Arc<DurableCounts>) -> Server {
    let durable = Durable::named("load").ack_wait(Duration::from_secs(2));
    server.subscribe::<Trade>(Consumer(Arc::clone(counts)), durable)
}

struct Consumer(Arc<DurableCounts>);

impl Subscriber<Trade> for Consumer {
    async fn on_event(&self, _ctx: Context, trade: Trade) -> Result<(), Status> {
        let number = usize::try_from(trade.number).unwrap();
        self.0.events.lock().unwrap()[number].deliveries += 1;
        self.0.progress.note();
        self.0.changed.notify_waiters();
        Ok(())
    }
}

impl DurableEvents {
    pub(crate) fn start(bus: &Bus, counts: &Arc<DurableCounts>, stop: &CancellationToken) -> Self {
        let mut tasks = JoinSet::new();
        for _ in 0..PUBLISHERS {
            let (counts, stop, bus) = (Arc::clone(counts), stop.clone(), bus.clone());
            tasks.spawn(async move {
                while !stop.is_cancelled() {
                    counts.publish(&bus).await;
                    tokio::time::sleep(PAUSE).await; // sleep: the pace of the load
                }
            });
        }
        Self {
            counts: Arc::clone(counts),
            tasks,
        }
    }

    /// Waits until the publishers have ended, and every event that was acknowledged is delivered, for half a minute at
    /// most.
    pub(crate) async fn ended(mut self) -> DurableFigures {
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        let delivered = async {
            loop {
                let changed = self.counts.changed.notified();
                if self.counts.figures().lost == 0 {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(30), delivered).await;
        self.counts.figures()
    }
}

impl DurableCounts {
    async fn publish(&self, bus: &Bus) {
        let number = {
            let mut events = self.events.lock().unwrap();
            events.push(StoredEvent::default());
            events.len() - 1
        };
        let trade = Trade {
            venue: "sim".to_owned(),
            symbol: format!("S{}", number % 7),
            price: 1.5,
            number: number as u64,
        };
        let publishing = bus.publish_durable(&trade).id(format!("sim:{number}"));
        match publishing.wait_for_ready().await {
            Ok(_) => self.events.lock().unwrap()[number].is_acknowledged = true,
            Err(status) => self.failures.add(&status),
        }
    }

    pub(crate) fn figures(&self) -> DurableFigures {
        let mut figures = DurableFigures::default();
        for event in self.events.lock().unwrap().iter() {
            figures.acknowledged += usize::from(event.is_acknowledged);
            figures.lost += usize::from(event.is_acknowledged && event.deliveries == 0);
            figures.redelivered += usize::from(event.deliveries.saturating_sub(1));
        }
        figures
    }
}
