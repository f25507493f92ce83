//! A server process that dies: what its callers see.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use micro_runtime::{Bus, Code, Status};
use micro_testkit::{NatsServer, Process, within};
use micro_tests::behavior::{BehaviorClient, WaitRequest};

/// Starts the service in a process of its own, and waits until it can be reached.
pub(crate) async fn server_process(nats: &NatsServer) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_behavior-server"));
    command.env("NATS_URL", nats.url());
    let process = Process::spawn(command).unwrap();
    process
        .wait_for_line("ready", Duration::from_secs(20))
        .await
        .unwrap();
    process
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_costs_only_the_calls_in_flight() {
    within(Duration::from_secs(60), async {
        let nats = NatsServer::start().await.unwrap();
        let mut doomed = server_process(&nats).await;
        let _other = server_process(&nats).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        let client: BehaviorClient = bus.client();
        let done = Arc::new(AtomicUsize::new(0));
        let killed_at = Arc::new(std::sync::OnceLock::<Instant>::new());
        let workers = (0..64).map(|_| {
            let (client, done, killed_at) = (client.clone(), done.clone(), killed_at.clone());
            tokio::spawn(async move {
                let mut failures = Vec::new();
                let is_over = || {
                    killed_at
                        .get()
                        .is_some_and(|at| at.elapsed() > Duration::from_secs(3))
                };
                while !is_over() {
                    let started = Instant::now();
                    let call = client.wait(WaitRequest { milliseconds: 2 });
                    match call.timeout(Duration::from_secs(1)).await {
                        Ok(_) => {
                            done.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(status) => failures.push((started, status)),
                    }
                }
                failures
            })
        });
        let workers = workers.collect::<Vec<_>>();
        while done.load(Ordering::SeqCst) < 2_000 {
            tokio::task::yield_now().await;
        }
        doomed.kill().unwrap();
        let killed = *killed_at.get_or_init(Instant::now);
        let before = done.load(Ordering::SeqCst);
        let mut failures: Vec<(Instant, Status)> = Vec::new();
        for worker in workers {
            failures.extend(worker.await.unwrap());
        }
        assert!(done.load(Ordering::SeqCst) > before + 1_000);
        assert!(failures.len() <= 64, "{} failures", failures.len());
        for (started, status) in failures {
            let is_expected = matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded);
            assert!(is_expected, "{status}");
            // NATS notices the closed socket at once: later calls never go there.
            assert!(started < killed + Duration::from_millis(250), "{status}");
        }
    })
    .await;
}
