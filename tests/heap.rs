//! Memory that calls without a reply leave behind. It is a test binary of its own, for its allocator, with
//! one test, so that nothing else allocates meanwhile.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "heap/counting_allocator.rs"]
mod counting_allocator;
#[path = "it/round_trip.rs"]
mod round_trip;

use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::{Bus, Code, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, WaitRequest};
use tokio::sync::mpsc;

use round_trip::round_trip;

/// Number of calls per measurement.
const CALLS: usize = 100_000;
/// Number of calls in flight.
const IN_FLIGHT: usize = 500;
/// Maximum growth from one measurement to the next, in bytes.
const MAX_GROWTH: usize = 1024 * 1024;
/// Subject of the method that is called.
const SUBJECT: &str = "behavior.v1.Behavior.Wait";
/// Payload of the message that follows all requests of a measurement.
const MARKER: &str = "marker";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_without_a_reply_leave_no_memory_behind() {
    within(Duration::from_secs(240), async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let plain_client = async_nats::connect(nats.url()).await.unwrap();
        // A subscriber that never replies, so that there is no 503 of the nats-server either.
        let mut requests = plain_client.subscribe(SUBJECT).await.unwrap();
        round_trip(&plain_client).await;
        let (sender, mut markers) = mpsc::unbounded_channel();
        let drain = tokio::spawn(async move {
            use futures_util::StreamExt as _;
            while let Some(request) = requests.next().await {
                if request.payload == MARKER {
                    sender.send(()).unwrap();
                }
            }
        });
        let client: BehaviorClient = bus.client();
        // Requests that wait to be read by the subscriber are on the heap of this process, too.
        let mut live_bytes_after_calls = async || {
            call_without_reply(&client).await;
            bus.publish_raw(SUBJECT, MARKER).await.unwrap();
            markers.recv().await.unwrap();
            counting_allocator::live_bytes()
        };
        let after_first = live_bytes_after_calls().await;
        let after_second = live_bytes_after_calls().await;
        let growth = after_second.saturating_sub(after_first);
        assert!(growth < MAX_GROWTH, "{growth} bytes for {CALLS} more calls");
        drain.abort();

        // The multiplexer still works: a call to a server gets its reply.
        let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
        let _server = server.start().await.unwrap();
        client.wait(WaitRequest::default()).await.unwrap();
    })
    .await;
}

/// Makes calls of which half end with their deadline, and half are dropped before.
async fn call_without_reply(client: &BehaviorClient) {
    for _ in 0..CALLS / IN_FLIGHT {
        let calls = (0..IN_FLIGHT).map(|number| {
            let call = client.wait(WaitRequest::default());
            async move {
                if number % 2 == 0 {
                    let result = call.timeout(Duration::from_millis(3)).await;
                    assert_eq!(result.unwrap_err().code(), Code::DeadlineExceeded);
                } else {
                    let call = async { call.await };
                    let result = tokio::time::timeout(Duration::from_millis(3), call).await;
                    assert!(result.is_err());
                }
            }
        });
        join_all(calls).await;
    }
}
