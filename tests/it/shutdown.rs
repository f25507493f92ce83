//! Lossless stop: what a server accepted is answered, 40 times over, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use micro_runtime::Bus;
use micro_testkit::{NatsServer, within};
use micro_tests::behavior::{BehaviorClient, Blob};

use crate::crash::server_process;

const IN_FLIGHT: usize = 64;
const STOPS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_stops_under_load_lose_nothing() {
    stops_lose_nothing(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_stops_lose_nothing_while_somebody_listens_to_everything() {
    stops_lose_nothing(true).await;
}

async fn stops_lose_nothing(somebody_listens: bool) {
    within(Duration::from_secs(120), async {
        let nats = NatsServer::start().await.unwrap();
        let listener = listen(&nats, somebody_listens).await;
        let mut serving = server_process(&nats).await;
        let load = Load::start(&nats).await;
        for stop in 0..STOPS {
            let next = server_process(&nats).await;
            load.runs(200).await;
            let mut stopping = std::mem::replace(&mut serving, next);
            stopping.terminate().unwrap();
            let status = stopping.wait(Duration::from_secs(20)).await.unwrap();
            assert!(
                status.success(),
                "stop {stop}: {status}\n{}",
                stopping.output()
            );
            load.runs(200).await;
        }
        let (done, failures) = load.stop().await;
        assert_eq!(failures, Vec::<String>::new(), "of {done} calls");
        assert!(done > STOPS * 400, "{done}");
        if let Some(listener) = listener {
            listener.abort();
        }
    })
    .await;
}

async fn listen(nats: &NatsServer, wanted: bool) -> Option<tokio::task::JoinHandle<()>> {
    if !wanted {
        return None;
    }
    let hand = async_nats::connect(nats.url()).await.unwrap();
    let mut everything = hand.subscribe(">").await.unwrap();
    hand.flush().await.unwrap();
    Some(tokio::spawn(async move {
        while everything.next().await.is_some() {}
    }))
}

/// Callers that never pause.
struct Load {
    done: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    workers: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    async fn start(nats: &NatsServer) -> Self {
        let bus = Bus::connect(nats.url()).await.unwrap();
        let client: BehaviorClient = bus.client();
        let done = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let worker = |number: usize| {
            let (client, done, is_over) = (client.clone(), done.clone(), is_over.clone());
            async move {
                let mut failures = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    let data = number.to_be_bytes().to_vec();
                    match client.echo(Blob { data: data.clone() }).await {
                        Ok(reply) => assert_eq!(reply.data, data),
                        Err(status) => failures.push(status.to_string()),
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
                failures
            }
        };
        let workers = (0..IN_FLIGHT).map(|number| tokio::spawn(worker(number)));
        Self {
            workers: workers.collect(),
            done,
            is_over,
        }
    }

    /// Waits until so many more calls have ended.
    async fn runs(&self, calls: usize) {
        let target = self.done.load(Ordering::SeqCst) + calls;
        while self.done.load(Ordering::SeqCst) < target {
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) -> (usize, Vec<String>) {
        self.is_over.store(true, Ordering::SeqCst);
        let mut failures = Vec::new();
        for worker in self.workers {
            failures.extend(worker.await.unwrap());
        }
        (self.done.load(Ordering::SeqCst), failures)
    }
}
