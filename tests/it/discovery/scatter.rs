//! Calls to all instances at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use micro_runtime::{Code, Context, Metadata, Reason, Server, ServiceOptions};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, FailRequest};

use crate::behavior::requests::{blob, millis};
use crate::carriers::{BehaviorFixture, Carrier, on_both_carriers};
use crate::streams::fixture::StreamsFixture;

const INSTANCES: usize = 5;

on_both_carriers! {
    every_instance_answers_once
    failures_say_whose_they_are
    the_last_reply_is_waited_for_as_long_as_is_said
    nobody_there_is_an_error
    metadata_goes_both_ways
    it_ends_with_the_call_it_belongs_to
    a_prefix_goes_along
    a_streaming_method_is_not_called_everywhere
}

async fn fixtures(carrier: &Carrier) -> (Vec<BehaviorFixture>, BTreeSet<String>) {
    let mut fixtures = Vec::new();
    for _ in 0..INSTANCES {
        fixtures.push(carrier.serve().await);
    }
    let ids = fixtures
        .iter()
        .map(|fixture| fixture.server.instances()[0].clone());
    let ids = ids.collect();
    (fixtures, ids)
}

async fn every_instance_answers_once(carrier: Carrier) {
    let (fixtures, ids) = fixtures(&carrier).await;
    let client: BehaviorClient = carrier.another_bus().await.client();
    for expected in [None, Some(INSTANCES)] {
        let mut call = client.echo(blob(b"hi")).to_all();
        if let Some(expected) = expected {
            call = call.expect(expected);
        }
        let begun = Instant::now();
        let replies = call.await.unwrap().collect::<Vec<_>>().await;
        let found = replies.iter().map(|reply| reply.instance.clone());
        assert_eq!(found.collect::<BTreeSet<_>>(), ids);
        assert_eq!(replies.len(), INSTANCES);
        for reply in replies {
            assert_eq!(reply.result.unwrap().data, b"hi");
        }
        let is_short = begun.elapsed() < Duration::from_millis(250);
        assert_eq!(is_short, expected.is_some(), "a count ends the wait");
    }
    for fixture in &fixtures {
        let stats = fixture.server.stats();
        assert_eq!(stats[0].endpoints[0].num_requests, 2);
    }
}

async fn failures_say_whose_they_are(carrier: Carrier) {
    let (_fixtures, ids) = fixtures(&carrier).await;
    let client: BehaviorClient = carrier.bus.client();
    let request = FailRequest {
        code: 5,
        text: "no".into(),
    };
    let call = client.fail(request).to_all().expect(INSTANCES);
    let replies = call.await.unwrap().collect::<Vec<_>>().await;
    let found = replies.iter().map(|reply| reply.instance.clone());
    assert_eq!(found.collect::<BTreeSet<_>>(), ids);
    for reply in replies {
        assert_eq!(reply.result.unwrap_err().code(), Code::NotFound);
        assert_eq!(reply.metadata.get("failed-by"), Some("behaving"));
    }
    // Turned away before a handler: signed all the same.
    let options = ServiceOptions::new().instance("full").max_concurrent(0);
    let service = BehaviorServer::new(BehaviorHandler::default());
    let server = Server::new(&carrier.bus).add_with(service, options);
    let _server = server.start().await.unwrap();
    let call = client.echo(blob(b"")).to_all().expect(INSTANCES + 1);
    let replies = call.await.unwrap().collect::<Vec<_>>().await;
    let full = replies.iter().find(|reply| reply.instance == "full");
    let refused = full.unwrap().result.as_ref().unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::Overloaded));
}

async fn the_last_reply_is_waited_for_as_long_as_is_said(carrier: Carrier) {
    let (fixtures, _) = fixtures(&carrier).await;
    let client = &fixtures[0].client;
    let call = client.wait(millis(700)).to_all();
    let patient = call.stall(Duration::from_secs(1)).await.unwrap();
    assert_eq!(patient.count().await, INSTANCES);
    let call = client
        .wait(millis(60_000))
        .timeout(Duration::from_millis(200));
    let begun = Instant::now();
    match call.to_all().await {
        // Instances that noticed the deadline themselves may be faster than the caller.
        Ok(mut replies) => {
            while let Some(reply) = replies.reply().await {
                assert_eq!(reply.result.unwrap_err().code(), Code::DeadlineExceeded);
            }
        }
        Err(status) => assert_eq!(status.code(), Code::DeadlineExceeded),
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
}

async fn nobody_there_is_an_error(carrier: Carrier) {
    let client: BehaviorClient = carrier.bus.client();
    let status = client.echo(blob(b"")).to_all().await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::NoResponders));
}

async fn metadata_goes_both_ways(carrier: Carrier) {
    let (_fixtures, _) = fixtures(&carrier).await;
    let client: BehaviorClient = carrier.bus.client();
    let call = client.describe(blob(b"")).header("tenant", "acme");
    let mut replies = call.to_all().expect(INSTANCES).await.unwrap();
    while let Some(reply) = replies.reply().await {
        let seen = reply.result.unwrap();
        assert_eq!(seen.metadata, ["tenant=acme"]);
        assert!((4_000..=5_000).contains(&seen.remaining_ms));
        assert_eq!(reply.metadata.get("served-by"), Some("behaving"));
    }
    let call = client.echo(blob(b"")).header("Micro-X", "no").to_all();
    assert_eq!(call.await.unwrap_err().code(), Code::InvalidArgument);
}

async fn it_ends_with_the_call_it_belongs_to(carrier: Carrier) {
    let (_fixtures, _) = fixtures(&carrier).await;
    let client: BehaviorClient = carrier.bus.client();
    let ctx = Context::for_test_with(Metadata::new(), Some(Duration::from_millis(100)));
    let call = client.wait(millis(60_000)).within(&ctx).to_all();
    let begun = Instant::now();
    if let Ok(replies) = call.await {
        replies.collect::<Vec<_>>().await;
    }
    assert!(begun.elapsed() < Duration::from_secs(2));
}

async fn a_prefix_goes_along(carrier: Carrier) {
    let staging = carrier.bus.clone().with_prefix("staging").unwrap();
    let service = || BehaviorServer::new(BehaviorHandler::default());
    let server = Server::new(&staging).add(service()).start().await.unwrap();
    let _outside = Server::new(&carrier.bus)
        .add(service())
        .start()
        .await
        .unwrap();
    let client: BehaviorClient = staging.client();
    let replies = client.echo(blob(b"")).to_all().await.unwrap();
    let replies = replies.collect::<Vec<_>>().await;
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].instance, server.instances()[0]);
}

async fn a_streaming_method_is_not_called_everywhere(carrier: Carrier) {
    let _fixture = StreamsFixture::start(&carrier.bus).await;
    let Some(hand) = super::hand(&carrier).await else {
        return;
    };
    let subject = "streams.v1.Streams._i._all.Count";
    let reply = hand.request(subject, "".into()).await.unwrap();
    let headers = reply.headers.unwrap();
    assert_eq!(headers.get("Micro-Status").unwrap().as_str(), "12");
    assert!(headers.get("Micro-Instance").is_some());
}
