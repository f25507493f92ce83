//! Refused messages on one connection, of whose errors async-nats drops some: a burst of them, and a `Flood`, which
//! goes on until it is ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::Bus;
use tokio::task::JoinHandle;

use crate::until::until;

/// Publishes a burst to subjects under `no.`, each message to one of its own.
pub(super) async fn publish_burst(bus: &Bus, length: usize) {
    for number in 0..length {
        bus.publish_raw(format!("no.{number}"), "x").await.unwrap();
    }
}

/// How a flood is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 500 messages at a time, each to a subject of its own: more than 15,000 a second.
    Bursts,
    /// By four tasks without a pause, each to a subject.
    FewSubjects,
    /// By four tasks without a pause, each message to a subject of its own.
    NewSubjects,
    /// 500 messages at a time, by the NATS client of the bus.
    ByClient,
}

impl Kind {
    /// Those in which NATS can be asked between two messages.
    pub(super) const WITH_GAPS: [Self; 3] = [Self::Bursts, Self::FewSubjects, Self::ByClient];

    fn is_ceaseless(self) -> bool {
        matches!(self, Self::FewSubjects | Self::NewSubjects)
    }
}

/// A flood. Its tasks run until [`end`](Self::end).
pub(super) struct Flood {
    is_over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Flood {
    /// Starts to publish to subjects under `no.`, and waits until NATS has refused some.
    pub(super) async fn start(bus: &Bus, kind: Kind) -> Self {
        let refused = bus.refused_events();
        let is_over = Arc::new(AtomicBool::new(false));
        let tasks = if kind.is_ceaseless() { 4 } else { 1 };
        let tasks = (0..tasks).map(|task| {
            let (bus, is_over) = (bus.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                for number in 0_u64.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let subject = match kind {
                        Kind::FewSubjects => format!("no.{task}"),
                        _ => format!("no.{task}.{number}"),
                    };
                    match kind {
                        // Either fails while the connection is lost.
                        Kind::ByClient => {
                            if let Some(client) = bus.nats() {
                                drop(client.publish(subject, "x".into()).await);
                            }
                        }
                        _ => drop(bus.publish_raw(subject, "x").await),
                    }
                    if kind.is_ceaseless() && number % 100 == 0 {
                        tokio::task::yield_now().await;
                    }
                    if !kind.is_ceaseless() && number % 500 == 0 {
                        tokio::time::sleep(Duration::from_millis(4)).await; // sleep: pause between two bursts
                    }
                }
            })
        });
        let tasks = tasks.collect();
        let flood = Self { is_over, tasks };
        until(|| bus.refused_events() > refused + 1000).await;
        flood
    }

    pub(super) async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for ended in join_all(self.tasks).await {
            ended.unwrap();
        }
    }
}
