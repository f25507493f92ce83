//! Loads: many calls of one caller, each with data of its own and a random delay of its handler.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use micro_runtime::{Bus, ClientOptions, Code, Status};
use micro_tests::behavior::{BehaviorClient, Blob, EchoAfterRequest};
use tokio::task::JoinSet;
use tower::timeout::TimeoutLayer;

use crate::disturbing_peers::mix;

/// Start of the sequence of delays, so that a run can be repeated.
const SEED: u64 = 17;
/// Timeout of the client layer, far above that of the calls.
const LAYER_TIMEOUT: Duration = Duration::from_secs(60);

/// Number of calls, and how they are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) calls: u64,
    pub(crate) max_delay: Duration,
    pub(crate) in_flight: u64,
}

/// The loads of every set-up: short delays, longer ones, and such that slots are reused late and in any order.
pub(crate) const LOADS: [Load; 3] = [
    Load {
        calls: 1_000_000,
        max_delay: Duration::from_millis(2),
        in_flight: 512,
    },
    Load {
        calls: 100_000,
        max_delay: Duration::from_millis(20),
        in_flight: 512,
    },
    Load {
        calls: 100_000,
        max_delay: Duration::from_millis(500),
        in_flight: 2_000,
    },
];

/// Results of the calls of one load.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) load: Load,
    pub(crate) calls: u64,
    pub(crate) own: u64,
    pub(crate) wrong: u64,
    pub(crate) failures: Vec<Failure>,
    pub(crate) unmatched: u64,
    pub(crate) took: Duration,
}

/// A call that failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

impl Outcome {
    /// Returns the number of failures with this code.
    pub(crate) fn failed_with(&self, code: Code) -> usize {
        let with_code = |failure: &&Failure| failure.status.code() == code;
        self.failures.iter().filter(with_code).count()
    }
}

/// Counters that the callers share.
#[derive(Debug, Default)]
struct Shared {
    next: AtomicU64,
    own: AtomicU64,
    wrong: AtomicU64,
    failures: Mutex<Vec<Failure>>,
}

impl Load {
    /// Makes all calls, and more until `may_end` returns true. Every second caller has a client layer.
    pub(crate) async fn run(
        self,
        caller: &Bus,
        may_end: impl Fn() -> bool + Clone + Send + 'static,
    ) -> Outcome {
        let shared = Arc::new(Shared::default());
        let calls = (self.calls / divisor()).max(self.in_flight);
        let unmatched = caller.unmatched_replies();
        let begun = Instant::now();
        let options = ClientOptions::new().layer(TimeoutLayer::new(LAYER_TIMEOUT));
        let clients: [BehaviorClient; 2] = [caller.client(), caller.client_with(options)];
        let mut callers = JoinSet::new();
        for index in 0..self.in_flight {
            let (shared, may_end) = (Arc::clone(&shared), may_end.clone());
            let client = clients[usize::from(index % 2 == 1)].clone();
            callers.spawn(async move {
                loop {
                    let number = shared.next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls && may_end() {
                        return;
                    }
                    self.call(&client, number, &shared).await;
                }
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
        let failures = std::mem::take(&mut *shared.failures.lock().unwrap());
        let [own, wrong] = [&shared.own, &shared.wrong].map(|count| count.load(Ordering::Relaxed));
        Outcome {
            load: self,
            calls: own + wrong + failures.len() as u64,
            own,
            wrong,
            failures,
            unmatched: caller.unmatched_replies() - unmatched,
            took: begun.elapsed(),
        }
    }

    async fn call(self, client: &BehaviorClient, number: u64, shared: &Shared) {
        let data = number.to_be_bytes().to_vec();
        let request = EchoAfterRequest {
            data: data.clone(),
            microseconds: self.delay(number),
        };
        let began = Instant::now();
        match client.echo_after(request).await {
            Ok(Blob { data: reply }) if reply == data => {
                shared.own.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => {
                shared.wrong.fetch_add(1, Ordering::Relaxed);
            }
            Err(status) => shared.failures.lock().unwrap().push(Failure {
                status,
                began,
                ended: Instant::now(),
            }),
        }
    }

    /// Returns the delay of a call in microseconds: any up to the maximum, equally likely.
    fn delay(self, number: u64) -> u32 {
        let max = u64::try_from(self.max_delay.as_micros()).unwrap();
        u32::try_from(mix(number ^ (SEED << 32)) % (max + 1)).unwrap()
    }
}

/// Returns the number that divides the calls of each load; 1 unless the variable is set.
fn divisor() -> u64 {
    let variable = std::env::var("REPLIES_DIVISOR").ok();
    variable.map_or(1, |text| text.parse().unwrap())
}
