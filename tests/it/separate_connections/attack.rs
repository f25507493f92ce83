//! A process with connections apart, or with one, that works in all three ways while a part of it is attacked.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use micro_runtime::jetstream::Durable;
use micro_runtime::{Bus, RunningServer, Server, Status};
use micro_testkit::NatsServer;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::market::Trade;
use tokio::task::JoinHandle;

use crate::durable::market::{market_stream, publish_trades};
use crate::durable::recorder::Recorder;
use crate::log_lines::LogLines;
use crate::until::until;

/// Prefix of what the process serves, and of what it calls.
const SERVED: &str = "served";
const CALLED: &str = "called";
/// Pause between two calls of one load.
const PAUSE: Duration = Duration::from_millis(2);

/// A process that serves, calls and consumes durably on one bus, and its peers.
pub(super) struct Attacked {
    pub(super) bus: Bus,
    pub(super) server: RunningServer,
    pub(super) recorder: Recorder,
    /// Bus of the peers.
    pub(super) others: Bus,
    consumer: RunningServer,
    _called: RunningServer,
}

impl Attacked {
    /// Starts everything on `bus`; deliveries that are not acknowledged come again after `ack_wait`.
    pub(super) async fn start(nats: &NatsServer, bus: Bus, ack_wait: Duration) -> Self {
        let others = Bus::connect(nats.url()).await.unwrap();
        others.declare(&market_stream()).await.unwrap();
        let serve = async |bus: &Bus, prefix| {
            let bus = bus.clone().with_prefix(prefix).unwrap();
            let handler = BehaviorHandler::on(&bus);
            let server = Server::new(&bus).add(BehaviorServer::new(handler));
            server.start().await.unwrap()
        };
        let recorder = Recorder::succeeding();
        let durable = Durable::named("recorder").ack_wait(ack_wait);
        let consumer = Server::new(&bus).subscribe::<Trade>(recorder.clone(), durable);
        Self {
            server: serve(&bus, SERVED).await,
            _called: serve(&others, CALLED).await,
            consumer: consumer.start().await.unwrap(),
            recorder,
            others,
            bus,
        }
    }

    /// Returns the client by which the process calls its peers.
    pub(super) fn outgoing(&self) -> BehaviorClient {
        let bus = self.bus.clone().with_prefix(CALLED).unwrap();
        bus.client()
    }

    /// Returns the client by which its peers call the process.
    pub(super) fn incoming(&self) -> BehaviorClient {
        let bus = self.others.clone().with_prefix(SERVED).unwrap();
        bus.client()
    }

    /// Returns the number of losses that count as cuts, of all connections.
    pub(super) fn cuts(&self) -> u64 {
        let stats = self.server.stats().remove(0);
        stats.data.unwrap().cut_connections
    }

    /// Returns whether the server reports itself as ready.
    pub(super) fn is_ready(&self) -> bool {
        let stats = self.server.stats().remove(0);
        stats.data.unwrap().is_ready
    }

    /// Returns the subject of a method that the process serves, or of its instance.
    pub(super) fn served(&self, rest: &str) -> String {
        let id = &self.server.instances()[0];
        let rest = rest.replace("<id>", id);
        format!("{SERVED}.behavior.v1.Behavior.{rest}")
    }

    pub(super) async fn shut_down(self) {
        self.server.shutdown().await.unwrap();
        self.consumer.shutdown().await.unwrap();
    }
}

/// Calls one after the other, until the end.
pub(super) struct CallLoad {
    is_over: Arc<AtomicBool>,
    task: JoinHandle<CallTimes>,
}

/// How long calls took.
#[derive(Default)]
pub(super) struct CallTimes {
    pub(super) succeeded: Vec<Duration>,
    pub(super) failed: Vec<(Duration, Status)>,
}

impl CallLoad {
    pub(super) fn start(client: BehaviorClient) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let ended = Arc::clone(&is_over);
        let task = tokio::spawn(async move {
            let mut times = CallTimes::default();
            while !ended.load(Ordering::SeqCst) {
                let began = Instant::now();
                let call = client.echo(Blob::default()).no_retry();
                match call.into_future().await {
                    Ok(_) => times.succeeded.push(began.elapsed()),
                    Err(status) => times.failed.push((began.elapsed(), status)),
                }
                tokio::time::sleep(PAUSE).await; // sleep: the rate of the load
            }
            times
        });
        Self { is_over, task }
    }

    /// Returns the time of each call.
    pub(super) async fn end_timed(self) -> CallTimes {
        self.is_over.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }

    /// Returns the number of calls, and the failures among them.
    pub(super) async fn end(self) -> (usize, Vec<Status>) {
        let times = self.end_timed().await;
        let count = times.succeeded.len() + times.failed.len();
        let failures = times.failed.into_iter().map(|(_, status)| status);
        (count, failures.collect())
    }

    /// Ends the load, of which no call may have failed.
    pub(super) async fn end_whole(self, name: &str) {
        let (count, failures) = self.end().await;
        assert!(failures.is_empty(), "{name}: {failures:?} of {count}");
        assert!(count > 20, "{name}: {count} calls");
    }
}

/// Stores trades one after the other, until the end.
pub(super) struct EventLoad {
    is_over: Arc<AtomicBool>,
    task: JoinHandle<Vec<Instant>>,
}

impl EventLoad {
    pub(super) fn start(bus: &Bus) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let (bus, ended) = (bus.clone(), Arc::clone(&is_over));
        let task = tokio::spawn(async move {
            let mut times = Vec::new();
            while !ended.load(Ordering::SeqCst) {
                times.push(Instant::now());
                publish_trades(&bus, [times.len() as u64]).await;
                tokio::time::sleep(PAUSE).await; // sleep: the rate of the load
            }
            times
        });
        Self { is_over, task }
    }

    /// Ends the load: each trade arrives once at the recorder, none a second time. Returns the time of each.
    pub(super) async fn end_whole(self, recorder: &Recorder) -> Vec<Duration> {
        let times = self.end(recorder).await;
        let attempts = recorder.attempts().len();
        assert_eq!(attempts, times.len(), "events were delivered again");
        assert!(attempts > 20, "{attempts} events");
        times
    }

    /// Ends the load: each trade arrives at the recorder. Returns the time of each attempt.
    pub(super) async fn end(self, recorder: &Recorder) -> Vec<Duration> {
        self.is_over.store(true, Ordering::SeqCst);
        let published = self.task.await.unwrap();
        let all = |recorder: &Recorder| recorder.succeeded().len() == published.len();
        recorder.wait_for(all).await;
        let attempts = recorder.attempts().into_iter();
        let times = attempts.map(|attempt| {
            let index = usize::try_from(attempt.number).unwrap() - 1;
            attempt.at - published[index]
        });
        times.collect()
    }
}

/// Returns how often the connection with this role was lost.
pub(super) fn losses(log: &LogLines, role: &str) -> usize {
    // The warning is limited to one each 30 s.
    let lost = log.matching(|line| line.text.contains("a link is lost"));
    let is_of = |line: &str| line.contains(&format!("connection=\"{role}\""));
    lost.iter().filter(|line| is_of(&line.text)).count()
}

/// Checks that connections were lost of this role alone.
pub(super) fn check_lost_alone(log: &LogLines, role: &str) {
    for other in ["calling", "serving", "consuming"] {
        assert_eq!(losses(log, other) > 0, other == role, "{other}");
    }
}

/// Sends until the connection with this role is lost once more: a message that comes before its subscription is made
/// again reaches nothing.
pub(super) async fn until_lost(log: &LogLines, role: &str, mut send: impl AsyncFnMut()) {
    let before = losses(log, role);
    while losses(log, role) == before {
        send().await;
        tokio::time::sleep(Duration::from_millis(50)).await; // sleep: the rate of the attack
    }
}

/// Waits until the process is connected and served again.
pub(super) async fn until_whole(attacked: &Attacked) {
    until(|| attacked.is_ready()).await;
    crate::polling::wait_until_served(&attacked.incoming()).await;
    crate::polling::wait_until_served(&attacked.outgoing()).await;
}
