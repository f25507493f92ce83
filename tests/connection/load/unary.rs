//! `UnaryCallers`: callers that each make one call after another, and the service that they call.

use std::collections::BTreeMap;
use std::future::IntoFuture as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::middleware::{Next, Request};
use micro_runtime::{Bus, Server, Status};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, EchoAfterRequest};
use prost::Message as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::load::call_kind::{CallKind, Mix};
use crate::load::call_ledger::{CallLedger, number_in};
use crate::load::control::beside_control;
use crate::load::endings::Endings;
use crate::load::progress::Progress;

/// The callers and what they count.
pub(crate) struct UnaryCallers {
    pub(crate) counts: Arc<UnaryCounts>,
    tasks: JoinSet<()>,
}

/// Counts of all callers.
#[derive(Default)]
pub(crate) struct UnaryCounts {
    pub(crate) ledger: Arc<CallLedger>,
    own: AtomicUsize,
    wrong: AtomicUsize,
    pub(crate) failures: Endings,
    /// Longest time by which a call ended later than its control timer.
    pub(crate) worst_excess: Mutex<Duration>,
    pub(crate) progress: BTreeMap<CallKind, Progress>,
}

impl UnaryCounts {
    pub(crate) fn new(mix: Mix, ledger: Arc<CallLedger>) -> Arc<Self> {
        let progress = mix.iter().map(|(kind, _)| (*kind, Progress::default()));
        Arc::new(Self {
            ledger,
            progress: progress.collect(),
            ..Self::default()
        })
    }
}

/// Adds the service to a server, with a layer that notes the runs of its handlers.
pub(crate) fn serve(server: Server, ledger: &Arc<CallLedger>) -> Server {
    let ledger = Arc::clone(ledger);
    let recording = tower::layer::layer_fn(move |next: Next| {
        let ledger = Arc::clone(&ledger);
        tower::service_fn(move |request: Request| {
            let (ledger, next) = (Arc::clone(&ledger), next.clone());
            async move {
                let run = number_of(&request).map(|number| ledger.run(number));
                let response = next.oneshot(request).await;
                if let Some(run) = run {
                    run.finish();
                }
                response
            }
        })
    });
    let handler = BehaviorHandler::default();
    server.layer(recording).add(BehaviorServer::new(handler))
}

fn number_of(request: &Request) -> Option<u64> {
    if request.method().name != "EchoAfter" {
        return None;
    }
    let request = EchoAfterRequest::decode(request.payload().clone()).ok()?;
    number_in(&request.data)
}

impl UnaryCallers {
    pub(crate) fn start(
        bus: &Bus,
        mix: Mix,
        counts: &Arc<UnaryCounts>,
        stop: &CancellationToken,
    ) -> Self {
        let mut tasks = JoinSet::new();
        let kinds = mix
            .iter()
            .flat_map(|(kind, count)| std::iter::repeat_n(*kind, *count));
        for kind in kinds {
            let (client, counts, stop) = (bus.client(), Arc::clone(counts), stop.clone());
            tasks.spawn(async move {
                while !stop.is_cancelled() {
                    counts.call(&client, kind).await;
                    tokio::time::sleep(kind.pause()).await; // sleep: the pace of the load
                }
            });
        }
        Self {
            counts: Arc::clone(counts),
            tasks,
        }
    }

    /// Waits until all callers have ended, which the token that they were started with asks for. Returns how many have
    /// not, a minute later.
    pub(crate) async fn hung(mut self) -> usize {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(60), all).await;
        self.tasks.len()
    }
}

impl UnaryCounts {
    /// Number of calls that had their own reply.
    pub(crate) fn own(&self) -> usize {
        self.own.load(Ordering::Relaxed)
    }

    pub(crate) fn wrong(&self) -> usize {
        self.wrong.load(Ordering::Relaxed)
    }

    async fn call(&self, client: &BehaviorClient, kind: CallKind) {
        let (number, data) = self.ledger.begin(kind);
        let microseconds = kind.handler_time(number).as_micros();
        let request = EchoAfterRequest {
            data: data.clone(),
            microseconds: u32::try_from(microseconds).unwrap(),
        };
        let mut call = client.echo_after(request).timeout(kind.timeout());
        match kind {
            CallKind::Waiting => call = call.wait_for_ready(),
            CallKind::Expiring => call = call.expires(),
            CallKind::Plain | CallKind::Large | CallKind::Long => {}
        }
        let (outcome, excess) = beside_control(kind.timeout(), call.into_future()).await;
        self.end(number, kind, outcome.map(|reply| reply == Blob { data }));
        let mut worst = self.worst_excess.lock().unwrap();
        *worst = worst.max(excess);
    }

    fn end(&self, number: u64, kind: CallKind, is_own: Result<bool, Status>) {
        match is_own {
            Ok(true) => {
                self.ledger.succeed(number);
                self.own.fetch_add(1, Ordering::Relaxed);
                self.progress[&kind].note();
            }
            Ok(false) => {
                self.wrong.fetch_add(1, Ordering::Relaxed);
            }
            Err(status) => {
                self.ledger.fail(number);
                self.failures.add(&status);
            }
        }
    }
}
