//! `Load`: all parts of the load together, from their start to the figures at their end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::{Bus, Error, RunningServer, Server};
use micro_tests::StreamsHandler;
use micro_tests::streams::StreamsServer;
use tokio_util::sync::CancellationToken;

use crate::load::call_kind::Mix;
use crate::load::call_ledger::CallLedger;
use crate::load::durable_events::{
    self, DurableCounts, DurableEvents, DurableFigures, event_stream,
};
use crate::load::event_publisher::{EventCounts, EventPublisher};
use crate::load::progress::Progress;
use crate::load::streams::{StreamCounts, StreamReaders};
use crate::load::unary;
use crate::load::unary::{UnaryCallers, UnaryCounts};

/// Time in which every part of the load must succeed again.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Parts of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Callers of unary calls.
    pub(crate) mix: Mix,
    /// Whether streams wait for the connection when they are opened again.
    pub(crate) streams_wait: bool,
    /// Number of replicas of the stream of durable events.
    pub(crate) replicas: usize,
}

/// The running load.
pub(crate) struct Load {
    unary: UnaryCallers,
    streams: StreamReaders,
    events: EventPublisher,
    durable: DurableEvents,
    server: RunningServer,
    stop: CancellationToken,
}

/// Times from a moment on until each part of the load succeeded.
pub(crate) type Recovery = BTreeMap<String, Option<Duration>>;

/// The counts of all parts of a load.
#[derive(Clone)]
pub(crate) struct Counts {
    pub(crate) ledger: Arc<CallLedger>,
    pub(crate) unary: Arc<UnaryCounts>,
    pub(crate) streams: Arc<StreamCounts>,
    pub(crate) events: Arc<EventCounts>,
    pub(crate) durable: Arc<DurableCounts>,
}

/// The counts of a load that has ended.
pub(crate) struct Figures {
    pub(crate) counts: Counts,
    /// Number of callers whose last call did not end.
    pub(crate) hung: usize,
    pub(crate) durable: DurableFigures,
    /// Outcome of the stop of the server.
    pub(crate) stopped: Result<(), Error>,
}

impl Load {
    /// Starts the service, the consumer and the subscriber on one bus, and what calls and publishes on the other; waits
    /// until each part has succeeded.
    pub(crate) async fn start(
        caller: &Bus,
        service: &Bus,
        ledger: &Arc<CallLedger>,
        plan: Plan,
    ) -> Self {
        let stop = CancellationToken::new();
        declare(caller, plan.replicas).await;
        let durable = Arc::new(DurableCounts::default());
        let server = Server::new(service).add(StreamsServer::new(StreamsHandler::default()));
        let server = durable_events::consume(unary::serve(server, ledger), &durable);
        let server = server.start().await.unwrap();
        let unary = UnaryCounts::new(plan.mix, Arc::clone(ledger));
        let load = Self {
            server,
            unary: UnaryCallers::start(caller, plan.mix, &unary, &stop),
            streams: StreamReaders::start(caller, plan.streams_wait, &stop),
            events: EventPublisher::start(caller, service, &stop).await,
            durable: DurableEvents::start(caller, &durable, &stop),
            stop,
        };
        load.recovery(Instant::now()).await;
        load
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            ledger: Arc::clone(&self.unary.counts.ledger),
            unary: Arc::clone(&self.unary.counts),
            streams: Arc::clone(&self.streams.counts),
            events: Arc::clone(&self.events.counts),
            durable: Arc::clone(&self.durable.counts),
        }
    }

    /// Counts successes from here on: see [`recovery`](Self::recovery).
    pub(crate) fn reset_progress(&self) {
        for (_, progress) in self.parts() {
            progress.reset();
        }
    }

    /// Waits until each part has succeeded since the last reset, for a minute at most. Returns the time of each from
    /// `since` on; `None` for one that has not.
    pub(crate) async fn recovery(&self, since: Instant) -> Recovery {
        let parts = self.parts().into_iter().map(|(name, progress)| async move {
            let first = tokio::time::timeout(RECOVERY_TIMEOUT, progress.first()).await;
            (
                name,
                first
                    .ok()
                    .map(|first| first.saturating_duration_since(since)),
            )
        });
        join_all(parts).await.into_iter().collect()
    }

    /// Returns the longest time without a success of each part since the last reset, to one more success of it; `None`
    /// for a part that has none any more.
    pub(crate) async fn longest_gaps(&self) -> Recovery {
        let parts = self.parts().into_iter().map(|(name, progress)| async move {
            let next = tokio::time::timeout(RECOVERY_TIMEOUT, progress.next()).await;
            (name, next.ok().map(|()| progress.longest_gap()))
        });
        join_all(parts).await.into_iter().collect()
    }

    fn parts(&self) -> Vec<(String, &Progress)> {
        let counts = &self.unary.counts.progress;
        let unary = counts.iter().map(|(kind, one)| (format!("{kind:?}"), one));
        let streams = self.streams.counts.progress.iter().enumerate();
        let streams = streams.map(|(index, one)| (format!("stream {index}"), one));
        let events = [
            ("event".to_owned(), &self.events.counts.progress),
            ("durable event".to_owned(), &self.durable.counts.progress),
        ];
        unary.chain(streams).chain(events).collect()
    }

    /// Ends everything, the service last.
    pub(crate) async fn stop(self) -> Figures {
        let counts = self.counts();
        self.stop.cancel();
        let (hung, (), (), durable) = tokio::join!(
            self.unary.hung(),
            self.streams.ended(),
            self.events.ended(),
            self.durable.ended(),
        );
        Figures {
            counts,
            hung,
            durable,
            stopped: self.server.shutdown().await,
        }
    }
}

/// Declares the stream of durable events; in a cluster again until it has elected a leader.
async fn declare(bus: &Bus, replicas: usize) {
    let stream = event_stream(replicas);
    while let Err(error) = bus.declare(&stream).await {
        assert!(replicas > 1, "{error}");
        tokio::time::sleep(Duration::from_millis(250)).await; // sleep: polling interval
    }
}
