//! A server that gets far more requests in one burst than it can handle in the time of their callers. The tests need
//! the machine to themselves and are slow: `cargo xtask test --slow overload`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "the figures of the tests")]

mod burst;
mod bystander;
mod load;
mod services;

use std::time::Duration;

use micro_runtime::Bus;
use micro_testkit::{NatsServer, within};
use micro_tests::greeter::{GreeterClient, HelloRequest};
use tokio::runtime::Runtime;

use burst::Burst;
use bystander::Bystander;
use load::{METHOD, TIMEOUT};
use services::{HandWritten, Work, idle_subscription};

/// Limit of one test.
const LIMIT: Duration = Duration::from_secs(240);
/// Number of requests of a burst.
const REQUESTS: usize = 150_000;
/// Handlers of a burst that may begin after the time of their callers: 1 %.
const MAX_LATE: usize = REQUESTS / 100;
/// Time of a burst, as a multiple of that of a service by hand that handles all requests.
const MAX_TIMES: f64 = 1.2;
/// p99 of another server during the burst, as a multiple of that during a burst that nothing handles.
const MAX_BYSTANDER_TIMES: f64 = 1.5;
/// Runs of which the median counts.
const RUNS: usize = 3;

/// Returns a runtime of two threads, as a process on this machine has.
fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test]
#[ignore = "slow: cargo xtask test --slow overload"]
async fn a_burst_with_handlers_of_20_us() {
    within(LIMIT, overload(Duration::from_micros(20))).await;
}

#[tokio::test]
#[ignore = "slow: cargo xtask test --slow overload"]
async fn a_burst_with_empty_handlers() {
    within(LIMIT, overload(Duration::ZERO)).await;
}

/// Compares the burst at a server with the same at a service by hand.
async fn overload(work: Duration) {
    let (mut times, mut fresh_times) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let by_hand = by_hand(work).await;
        let (took, fresh) = served(work).await;
        println!(
            "{REQUESTS} requests, handlers of {work:?}: {took:.2?}, by hand {by_hand:.2?}; a fresh call took {fresh:.2?}"
        );
        times.push(took.as_secs_f64() / by_hand.as_secs_f64());
        fresh_times.push(fresh.as_secs_f64() / by_hand.as_secs_f64());
    }
    let [took, fresh] = [times, fresh_times].map(median);
    println!(
        "times of the service by hand: {took:.2} for the burst, {fresh:.2} for the fresh call"
    );
    assert!(took <= MAX_TIMES, "the burst took {took:.2} times as long");
    assert!(
        fresh <= MAX_TIMES,
        "the fresh call took {fresh:.2} times as long"
    );
}

/// Returns the time of a burst at a service by hand.
async fn by_hand(work: Duration) -> Duration {
    let nats = NatsServer::start().await.unwrap();
    let server = runtime();
    let service = HandWritten::start(&nats.url(), Work::new(work));
    let service = server.spawn(service).await.unwrap();
    let burst = Burst::prepare(&nats.url(), service.work()).await;
    let outcome = burst.send(REQUESTS, TIMEOUT).await;
    assert_eq!(outcome.replies, REQUESTS);
    assert_eq!(service.work().ran(), REQUESTS);
    server.shutdown_background();
    outcome.took
}

/// Returns the times of a burst at a server, and of a call that is made in the middle of it.
async fn served(work: Duration) -> (Duration, Duration) {
    let nats = NatsServer::start().await.unwrap();
    let server = runtime();
    let url = nats.url();
    let work = Work::new(work);
    let starting = work.clone();
    let (bus, running) = server
        .spawn(async move { starting.serve(&url).await })
        .await
        .unwrap();
    let calling = Bus::connect(nats.url()).await.unwrap();
    let client: GreeterClient = calling.client();
    for _ in 0..1000 {
        client.say_hello(HelloRequest::default()).await.unwrap();
    }
    let burst = Burst::prepare(&nats.url(), &work).await;
    work.reset();
    let fresh = async {
        work.reached(10).await;
        let begun = std::time::Instant::now();
        let call = client
            .say_hello(HelloRequest::default())
            .no_retry()
            .timeout(LIMIT);
        let _ = call.await;
        begun.elapsed()
    };
    let (outcome, fresh) = tokio::join!(burst.send(REQUESTS, TIMEOUT), fresh);
    let (ran, late) = (work.ran(), work.late());
    let stats = running.stats();
    let data = stats[0].data.as_ref().unwrap();
    println!(
        "  {} replies, {ran} handlers, {late} late, {} bytes held after it",
        outcome.replies, data.held_bytes
    );
    assert_eq!(outcome.replies, REQUESTS, "every request gets a reply");
    assert!(late <= MAX_LATE, "{late} of {ran} handlers ran late");
    drop((running, bus));
    server.shutdown_background();
    (outcome.took, fresh)
}

#[tokio::test]
#[ignore = "slow: cargo xtask test --slow overload"]
async fn another_server_beside_a_burst() {
    within(LIMIT, async {
        let (mut served, mut idle) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            idle.push(p99_beside(false).await);
            served.push(p99_beside(true).await);
        }
        println!("p99 of another server, in us: {served:?} beside a served burst, {idle:?} beside an idle subscription");
        let times = median(served) / median(idle);
        assert!(times <= MAX_BYSTANDER_TIMES, "{times:.2} times");
    })
    .await;
}

/// Returns the p99 in microseconds of calls of another server beside a burst, which a server gets or a subscription
/// that drops everything.
async fn p99_beside(is_served: bool) -> f64 {
    let nats = NatsServer::start().await.unwrap();
    let [server, other] = [(); 2].map(|()| runtime());
    let work = Work::new(Duration::from_micros(20));
    let bystander = Bystander::start(&other, &nats.url()).await;
    let url = nats.url();
    let serving = work.clone();
    let keep: Box<dyn Send> = match is_served {
        true => Box::new(
            server
                .spawn(async move { serving.serve(&url).await })
                .await
                .unwrap(),
        ),
        false => Box::new(server.spawn(async move { idle_subscription(&url, METHOD).await })),
    };
    let burst = Burst::prepare(&nats.url(), &work).await;
    let burst = if is_served {
        burst
    } else {
        burst.without_replies()
    };
    let (p99, _) = tokio::join!(
        bystander.p99_until(burst.ended()),
        burst.send(REQUESTS, TIMEOUT)
    );
    drop(keep);
    for runtime in [server, other] {
        runtime.shutdown_background();
    }
    p99
}
