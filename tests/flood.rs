//! A flood of calls against a small limit: a test binary of its own, for its allocator and its log.

#[path = "heap/counting.rs"]
mod counting;
#[path = "observed/log.rs"]
mod log;

use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::{Bus, Reason, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, WaitRequest};

const CALLS: usize = 10_000;
const LIMIT: usize = 16;
const NAP_MS: u32 = 5;
const P99: u64 = 50_000;
const GROWTH: usize = 4 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_a_flood_is_answered_in_time() {
    let log = log::install();
    within(Duration::from_secs(60), async {
        let nats = NatsServer::start().await.unwrap();
        let serving = Bus::connect(nats.url()).await.unwrap();
        let server = Server::new(&serving)
            .max_in_flight(LIMIT)
            .add(BehaviorServer::new(BehaviorHandler::default()));
        let _server = server.start().await.unwrap();
        let calling = Bus::connect(nats.url()).await.unwrap();
        let client: BehaviorClient = calling.client();
        flood(&client).await;
        log.clear();
        let before = counting::live_bytes();
        flood(&client).await;
        let mut answers = log.numbers("answered", "micros");
        log.clear();
        let growth = counting::live_bytes().saturating_sub(before);
        assert_eq!(answers.len(), CALLS);
        answers.sort_unstable();
        let p99 = answers[CALLS * 99 / 100];
        println!(
            "from receipt to answer: p50 {} us, p99 {p99} us",
            answers[CALLS / 2]
        );
        assert!(p99 < P99, "p99 {p99} us");
        assert!(growth < GROWTH, "{growth} bytes");
    })
    .await;
}

async fn flood(client: &BehaviorClient) {
    let calls = (0..CALLS).map(|_| {
        let call = client.wait(WaitRequest {
            milliseconds: NAP_MS,
        });
        async { call.timeout(Duration::from_secs(30)).await }
    });
    let results = join_all(calls).await;
    let done = results.iter().filter(|result| result.is_ok()).count();
    assert!(done >= LIMIT, "{done}");
    for status in results.into_iter().filter_map(Result::err) {
        assert_eq!(status.reason(), Some(Reason::Overloaded), "{status}");
    }
}
