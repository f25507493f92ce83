//! The calls that fail when a server process is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use micro_runtime::{Bus, Code, Status};
use micro_testkit::{NatsServer, within};
use micro_tests::behavior::{BehaviorClient, WaitRequest};

use crate::server_process::start_server_process;

/// Number of callers, and so the maximum number of calls in flight.
const CALLERS: usize = 64;
/// Number of calls that must succeed after the server is killed.
const CALLS_AFTER_KILL: usize = 1_000;
/// Time for which the callers continue after the server is killed.
const TIME_AFTER_KILL: Duration = Duration::from_secs(3);
/// Time in which the nats-server must notice the closed socket of the killed server, on a machine that
/// replies to a call at once.
const DETECTION_TIME: Duration = Duration::from_millis(250);

/// Results of one caller.
#[derive(Default)]
struct CallerResults {
    /// Start and status of each call that failed.
    failures: Vec<(Instant, Status)>,
    /// Duration of the slowest call that succeeded, which measures how busy the machine is.
    slowest: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_calls_in_flight_fail_when_a_server_is_killed() {
    within(Duration::from_secs(120), async {
        let nats = NatsServer::start().await.unwrap();
        let mut killed = start_server_process(&nats).await;
        let _other = start_server_process(&nats).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        let client: BehaviorClient = bus.client();
        let done = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let callers = (0..CALLERS).map(|_| {
            let (client, done, is_over) = (client.clone(), done.clone(), is_over.clone());
            tokio::spawn(async move {
                let mut results = CallerResults::default();
                while !is_over.load(Ordering::SeqCst) {
                    let started = Instant::now();
                    let call = client.wait(WaitRequest { milliseconds: 2 });
                    match call.timeout(Duration::from_secs(1)).await {
                        Ok(_) => {
                            results.slowest = results.slowest.max(started.elapsed());
                            done.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(status) => results.failures.push((started, status)),
                    }
                }
                results
            })
        });
        let callers = callers.collect::<Vec<_>>();
        wait_until_done(&done, 2_000).await;
        killed.kill().unwrap();
        let killed_at = Instant::now();
        wait_until_done(&done, done.load(Ordering::SeqCst) + CALLS_AFTER_KILL).await;
        tokio::time::sleep_until((killed_at + TIME_AFTER_KILL).into()).await; // sleep: time of the load
        is_over.store(true, Ordering::SeqCst);
        let (mut failures, mut slowest) = (Vec::new(), Duration::ZERO);
        for caller in callers {
            let results = caller.await.unwrap();
            failures.extend(results.failures);
            slowest = slowest.max(results.slowest);
        }
        assert!(failures.len() <= CALLERS, "{} failures", failures.len());
        let detected_at = killed_at + DETECTION_TIME + slowest;
        for (started, status) in failures {
            let is_expected = matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded);
            assert!(is_expected, "{status}");
            assert!(started < detected_at, "a later call failed: {status}");
        }
    })
    .await;
}

async fn wait_until_done(done: &AtomicUsize, calls: usize) {
    while done.load(Ordering::SeqCst) < calls {
        tokio::task::yield_now().await;
    }
}
