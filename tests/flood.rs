//! A flood of calls to a server with a small limit. It is a test binary of its own, for its allocator and its
//! log.

#[path = "heap/counting_allocator.rs"]
mod counting_allocator;
#[path = "observability/trace_log.rs"]
mod trace_log;

use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::{Bus, Reason, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, WaitRequest};

/// Number of calls of one flood.
const CALLS: usize = 10_000;
/// Maximum number of calls that the server handles at the same time.
const MAX_IN_FLIGHT: usize = 16;
/// Duration of a handler, in milliseconds.
const HANDLER_MS: u32 = 5;
/// Maximum of the 99th percentile of the time from request to reply at the server, in microseconds.
const MAX_P99: u64 = 50_000;
/// Maximum growth of memory in one flood, in bytes.
const MAX_GROWTH: usize = 4 * 1024 * 1024;
/// Maximum number of measurements. A machine that is busy with other builds delays some of them; a server
/// that queues the calls fails all of them.
const MAX_ATTEMPTS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_a_flood_gets_a_reply_in_time() {
    let log = trace_log::install();
    within(Duration::from_secs(120), async {
        let nats = NatsServer::start().await.unwrap();
        let serving = Bus::connect(nats.url()).await.unwrap();
        let server = Server::new(&serving)
            .max_concurrent(MAX_IN_FLIGHT)
            .add(BehaviorServer::new(BehaviorHandler::default()));
        let _server = server.start().await.unwrap();
        let calling = Bus::connect(nats.url()).await.unwrap();
        let client: BehaviorClient = calling.client();
        flood(&client).await;
        for attempt in 1.. {
            log.clear();
            let before = counting_allocator::live_bytes();
            flood(&client).await;
            let mut times = log.numbers("replied", "micros");
            log.clear();
            let growth = counting_allocator::live_bytes().saturating_sub(before);
            assert!(growth < MAX_GROWTH, "{growth} bytes");
            assert_eq!(times.len(), CALLS);
            times.sort_unstable();
            let (p50, p99) = (times[CALLS / 2], times[CALLS * 99 / 100]);
            println!("from request to reply: p50 {p50} us, p99 {p99} us");
            if p99 < MAX_P99 {
                return;
            }
            assert!(attempt < MAX_ATTEMPTS, "p99 {p99} us in the last attempt");
        }
    })
    .await;
}

/// Makes all calls at once; each one succeeds or is rejected by the limit.
async fn flood(client: &BehaviorClient) {
    let calls = (0..CALLS).map(|_| {
        let call = client.wait(WaitRequest {
            milliseconds: HANDLER_MS,
        });
        async { call.timeout(Duration::from_secs(30)).await }
    });
    let results = join_all(calls).await;
    let done = results.iter().filter(|result| result.is_ok()).count();
    assert!(done >= MAX_IN_FLIGHT, "{done}");
    for status in results.into_iter().filter_map(Result::err) {
        assert_eq!(status.reason(), Some(Reason::Overloaded), "{status}");
    }
}
