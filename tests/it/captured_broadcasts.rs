//! Calls of all instances whose subjects a JetStream stream stores, which acknowledges each request.

use std::collections::BTreeSet;
use std::time::Duration;

use micro_runtime::{Bus, Reason, Server};
use micro_testkit::NatsServer;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};

use crate::disturbing_peers::capture;
use crate::until::until;

/// An acknowledgment comes from no instance: it hides none that has not replied yet, and is no reply of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_captures_calls_of_all_instances() {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let serve = || Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::on(&bus)));
    let _servers = [
        serve().start().await.unwrap(),
        serve().start().await.unwrap(),
    ];
    let caller = Bus::connect(nats.url()).await.unwrap();
    capture(
        &caller,
        "CAPTURED",
        &["behavior.v1.Behavior._i.>", "absent.>"],
    )
    .await;
    let client: BehaviorClient = caller.client();
    for _ in 0..100 {
        let mut replies = client
            .echo(Blob::default())
            .to_all()
            .expected(2)
            .await
            .unwrap();
        let mut instances = BTreeSet::new();
        while let Some(reply) = replies.next().await {
            assert_eq!(reply.result.unwrap(), Blob::default());
            assert!(!reply.instance.is_empty());
            instances.insert(reply.instance);
        }
        assert_eq!(instances.len(), 2);
    }
    until(|| caller.unmatched_replies() == 100).await;

    // The error names the stream if nothing else replies.
    let absent: BehaviorClient = caller.with_prefix("absent").unwrap().client();
    let call = absent
        .echo(Blob::default())
        .timeout(Duration::from_millis(300));
    let status = call.to_all().await.map(drop).unwrap_err();
    assert_eq!(status.reason(), Some(Reason::NotAService), "{status}");
    assert!(status.message().contains("`CAPTURED`"), "{status}");
}
