//! Lossless stop: what a server accepted is answered, 40 times over, under load.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use micro_runtime::{Bus, ClientOptions, Status};
use micro_testkit::{NatsServer, Process, within};
use micro_tests::behavior::{BehaviorClient, Blob, Pair};
use tower::limit::ConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;

use crate::crash::server_process;
use crate::faults::recovered;

const IN_FLIGHT: usize = 64;
const STOPS: usize = 40;

/// A call of one kind; the number must come back.
type Call = fn(BehaviorClient, u64) -> Pin<Box<dyn Future<Output = Result<u64, Status>> + Send>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_stops_under_load_lose_nothing() {
    stops_lose_nothing(false, ClientOptions::new(), echo).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_stops_lose_nothing_while_somebody_listens_to_everything() {
    stops_lose_nothing(true, ClientOptions::new(), echo).await;
}

/// The server process has layers too; a call that was lost would run into its deadline, which no
/// retry hides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_stops_with_retries_and_layers_lose_nothing() {
    let options = ClientOptions::new()
        .layer(TimeoutLayer::new(Duration::from_secs(60)))
        .layer(ConcurrencyLimitLayer::new(IN_FLIGHT));
    stops_lose_nothing(false, options, swap).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stops_after_a_reconnect_lose_nothing() {
    within(Duration::from_secs(120), async {
        let mut nats = NatsServer::start().await.unwrap();
        let mut serving = server_process(&nats).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        for _ in 0..5 {
            nats.kill().unwrap();
            nats.restart().await.unwrap();
            recovered(&bus.client()).await;
            let load = Load::start(&bus.client(), echo);
            load.runs(200).await;
            let next = server_process(&nats).await;
            stop(std::mem::replace(&mut serving, next)).await;
            load.runs(200).await;
            let (done, failures) = load.stop().await;
            assert_eq!(failures, Vec::<String>::new(), "of {done} calls");
        }
    })
    .await;
}

fn echo(
    client: BehaviorClient,
    number: u64,
) -> Pin<Box<dyn Future<Output = Result<u64, Status>> + Send>> {
    Box::pin(async move {
        let data = number.to_be_bytes().to_vec();
        let reply = client.echo(Blob { data }).await?;
        let bytes = reply.data.try_into();
        Ok(u64::from_be_bytes(
            bytes.map_err(|_| Status::data_loss("another length"))?,
        ))
    })
}

fn swap(
    client: BehaviorClient,
    number: u64,
) -> Pin<Box<dyn Future<Output = Result<u64, Status>> + Send>> {
    Box::pin(async move {
        let request = Pair {
            left: number,
            right: 0,
        };
        Ok(client.swap(request).await?.right)
    })
}

async fn stop(mut process: Process) {
    process.terminate().unwrap();
    let status = process.wait(Duration::from_secs(20)).await.unwrap();
    assert!(status.success(), "{status}\n{}", process.output());
}

async fn stops_lose_nothing(somebody_listens: bool, options: ClientOptions, call: Call) {
    within(Duration::from_secs(120), async {
        let nats = NatsServer::start().await.unwrap();
        let listener = listen(&nats, somebody_listens).await;
        let mut serving = server_process(&nats).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        let load = Load::start(&bus.client_with(options), call);
        for _ in 0..STOPS {
            let next = server_process(&nats).await;
            load.runs(200).await;
            stop(std::mem::replace(&mut serving, next)).await;
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
    fn start(client: &BehaviorClient, call: Call) -> Self {
        let done = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let worker = |number: u64| {
            let (client, done, is_over) = (client.clone(), done.clone(), is_over.clone());
            async move {
                let mut failures = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    match call(client.clone(), number).await {
                        Ok(reply) => assert_eq!(reply, number),
                        Err(status) => failures.push(status.to_string()),
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
                failures
            }
        };
        let workers = (0..IN_FLIGHT as u64).map(|number| tokio::spawn(worker(number)));
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
