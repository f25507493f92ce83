//! Shutdowns under load: every call that a server has accepted gets its reply, in each of many shutdowns.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use micro_runtime::{Bus, ClientOptions, Status};
use micro_testkit::{NatsServer, within};
use micro_tests::behavior::{BehaviorClient, Blob, Pair};
use tower::limit::ConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;

use crate::polling::wait_until_served;
use crate::round_trip::round_trip;
use crate::server_process::{start_server_process, stop_process};

/// Number of callers, each with one call in flight.
const CALLERS: usize = 64;
/// Number of server processes that are shut down in each ordinary test.
const FEW: usize = 10;
/// Number of those of each kind in the slow test.
const MANY: usize = 40;
/// Minimum number of calls before and after each shutdown.
const CALLS_AROUND_SHUTDOWN: usize = 200;

/// A method that returns the number of its request.
type Call = fn(BehaviorClient, u64) -> Pin<Box<dyn Future<Output = Result<u64, Status>> + Send>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdowns_under_load_lose_no_call() {
    check_plain_shutdowns(FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdowns_beside_a_wildcard_subscriber_lose_no_call() {
    check_shutdowns_beside_a_subscriber(FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdowns_with_retries_and_layers_lose_no_call() {
    check_shutdowns_with_layers(FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow shutdowns"]
async fn forty_shutdowns_of_each_kind_lose_no_call() {
    check_plain_shutdowns(MANY).await;
    check_shutdowns_beside_a_subscriber(MANY).await;
    check_shutdowns_with_layers(MANY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdowns_after_a_reconnect_lose_no_call() {
    within(Duration::from_secs(240), async {
        let mut nats = NatsServer::start().await.unwrap();
        let mut serving = start_server_process(&nats).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        for _ in 0..5 {
            nats.kill().unwrap();
            nats.restart().await.unwrap();
            wait_until_served(&bus.client()).await;
            let load = Load::start(&bus.client(), echo);
            load.wait_for_calls(CALLS_AROUND_SHUTDOWN).await;
            let next = start_server_process(&nats).await;
            stop_process(std::mem::replace(&mut serving, next)).await;
            load.wait_for_calls(CALLS_AROUND_SHUTDOWN).await;
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

async fn check_plain_shutdowns(count: usize) {
    check_shutdowns_lose_no_call(count, false, ClientOptions::new(), echo).await;
}

async fn check_shutdowns_beside_a_subscriber(count: usize) {
    check_shutdowns_lose_no_call(count, true, ClientOptions::new(), echo).await;
}

/// The server process has layers too. A lost call would fail with its deadline, and a passed deadline is
/// never retried.
async fn check_shutdowns_with_layers(count: usize) {
    let options = ClientOptions::new()
        .layer(TimeoutLayer::new(Duration::from_secs(60)))
        .layer(ConcurrencyLimitLayer::new(CALLERS));
    check_shutdowns_lose_no_call(count, false, options, swap).await;
}

async fn check_shutdowns_lose_no_call(
    count: usize,
    has_subscriber: bool,
    options: ClientOptions,
    call: Call,
) {
    within(Duration::from_secs(240), async {
        let nats = NatsServer::start().await.unwrap();
        let subscriber = match has_subscriber {
            true => Some(subscribe_to_everything(&nats).await),
            false => None,
        };
        let mut serving = start_server_process(&nats).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        let load = Load::start(&bus.client_with(options), call);
        for _ in 0..count {
            let next = start_server_process(&nats).await;
            load.wait_for_calls(CALLS_AROUND_SHUTDOWN).await;
            stop_process(std::mem::replace(&mut serving, next)).await;
            load.wait_for_calls(CALLS_AROUND_SHUTDOWN).await;
        }
        let (done, failures) = load.stop().await;
        assert_eq!(failures, Vec::<String>::new(), "of {done} calls");
        assert!(done > count * 2 * CALLS_AROUND_SHUTDOWN, "{done}");
        if let Some(subscriber) = subscriber {
            subscriber.abort();
        }
    })
    .await;
}

async fn subscribe_to_everything(nats: &NatsServer) -> tokio::task::JoinHandle<()> {
    let plain_client = async_nats::connect(nats.url()).await.unwrap();
    let mut everything = plain_client.subscribe(">").await.unwrap();
    round_trip(&plain_client).await;
    tokio::spawn(async move {
        // The client belongs to the task: its connection lives as long as the subscription.
        let _plain_client = plain_client;
        while everything.next().await.is_some() {}
    })
}

/// Callers that call without pause.
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
        let workers = (0..CALLERS as u64).map(|number| tokio::spawn(worker(number)));
        Self {
            workers: workers.collect(),
            done,
            is_over,
        }
    }

    /// Waits until this many more calls have ended.
    async fn wait_for_calls(&self, calls: usize) {
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
