//! Publishers that store trades at a constant pace until they are stopped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use micro_runtime::Bus;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::market::{trade, trade_id};

const PUBLISHERS: u64 = 8;

/// Running publishers, and the number of trades that were acknowledged.
pub(super) struct PublishLoad {
    stop: Arc<AtomicBool>,
    acknowledged: watch::Sender<usize>,
    publishers: JoinSet<(BTreeSet<u64>, Duration)>,
}

impl PublishLoad {
    pub(super) fn start(bus: &Bus) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = watch::Sender::new(0);
        let mut publishers = JoinSet::new();
        for publisher in 0..PUBLISHERS {
            let (bus, stop, count) = (bus.clone(), stop.clone(), acknowledged.clone());
            publishers.spawn(async move {
                let mut stored = BTreeSet::new();
                let mut longest = Duration::ZERO;
                for turn in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let number = turn * PUBLISHERS + publisher;
                    let started = Instant::now();
                    bus.publish_durable(&trade(number))
                        .id(trade_id(number))
                        .wait_for_ready()
                        .await
                        .unwrap();
                    longest = longest.max(started.elapsed());
                    stored.insert(number);
                    count.send_modify(|count| *count += 1);
                    // sleep: the pace of the load.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                (stored, longest)
            });
        }
        Self {
            stop,
            acknowledged,
            publishers,
        }
    }

    /// Number of trades that were acknowledged so far.
    pub(super) fn acknowledged(&self) -> usize {
        *self.acknowledged.borrow()
    }

    /// Waits until this many trades are acknowledged.
    pub(super) async fn wait_for(&self, acknowledged: usize) {
        let mut count = self.acknowledged.subscribe();
        count
            .wait_for(|count| *count >= acknowledged)
            .await
            .unwrap();
    }

    /// Stops; returns the acknowledged numbers, and the longest wait for an acknowledgment.
    pub(super) async fn stop(mut self) -> (BTreeSet<u64>, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeSet::new();
        let mut longest = Duration::ZERO;
        while let Some(publisher) = self.publishers.join_next().await {
            let (stored, wait) = publisher.unwrap();
            all.extend(stored);
            longest = longest.max(wait);
        }
        (all, longest)
    }
}
