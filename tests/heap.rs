//! What calls leave on the heap: a test binary of its own, since it counts every allocation.
//!
//! It is one test, so that nothing else allocates meanwhile.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "heap/counting.rs"]
mod counting;

use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::{Bus, Code, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, WaitRequest};

const ROUND: usize = 100_000;
const AT_ONCE: usize = 500;
const GROWTH: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_nobody_answers_leave_nothing() {
    within(Duration::from_secs(240), async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let hand = async_nats::connect(nats.url()).await.unwrap();
        // Somebody listens and never answers, so that there is no 503 either.
        let mut silence = hand.subscribe("behavior.v1.Behavior.Wait").await.unwrap();
        // The answer to this proves that the server knows the subscription.
        hand.request("nobody.serves.this", "".into())
            .await
            .unwrap_err();
        let drain = tokio::spawn(async move {
            use futures_util::StreamExt as _;
            while silence.next().await.is_some() {}
        });
        let client: BehaviorClient = bus.client();
        unanswered(&client).await;
        let after_first = counting::live_bytes();
        unanswered(&client).await;
        let after_second = counting::live_bytes();
        let growth = after_second.saturating_sub(after_first);
        assert!(growth < GROWTH, "{growth} bytes for {ROUND} more calls");
        drain.abort();

        // The multiplexer still works, and a served call comes back.
        let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
        let _server = server.start().await.unwrap();
        client.wait(WaitRequest::default()).await.unwrap();
    })
    .await;
}

/// Half of the calls run into their deadline, half are dropped before.
async fn unanswered(client: &BehaviorClient) {
    for _ in 0..ROUND / AT_ONCE {
        let calls = (0..AT_ONCE).map(|number| {
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
