//! Calls to all instances of a service, with `to_all`.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::HeaderMap;
use futures_util::StreamExt as _;
use micro_runtime::call::InstanceReply;
use micro_runtime::{ClientOptions, Code, Context, Metadata, Reason, Server, ServiceOptions};
use micro_testkit::within;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, FailRequest, FillRequest};
use tokio::time::Instant;

use super::plain_client::plain_client;
use crate::behavior::requests::{blob, millis};
use crate::carriers::{BehaviorFixture, Carrier, on_both_carriers_and_paused};
use crate::layered::clients;
use crate::streams::fixture::StreamsFixture;

const INSTANCES: usize = 5;
/// Time after the last reply at which a call without an expected count ends by default.
const DEFAULT_STALL: Duration = Duration::from_millis(300);
/// Stall time and timeout of a call that must end before for another reason.
const LONGER_THAN_THE_TEST: Duration = Duration::from_secs(600);
/// Limit for an event that must occur.
const LIMIT: Duration = Duration::from_secs(20);

on_both_carriers_and_paused! {
    every_instance_replies_once
    failures_name_their_instance
    a_large_reply_is_too_large_and_names_its_instance
    stall_time_and_timeout_limit_the_wait
    no_reply_is_waited_for_where_none_is_expected
    a_call_without_instances_is_an_error
    metadata_is_sent_both_ways
    it_ends_with_the_parent_call
    the_prefix_of_the_bus_applies
    no_stream_is_opened_on_all_instances
}

/// Starts the instances, and returns them with their ids.
async fn start_instances(carrier: &Carrier) -> (Vec<BehaviorFixture>, BTreeSet<String>) {
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

async fn every_instance_replies_once(carrier: Carrier) {
    let (fixtures, ids) = start_instances(&carrier).await;
    let client: BehaviorClient = carrier.another_bus().await.client();
    let check = |replies: Vec<InstanceReply<Blob>>| {
        let found = replies.iter().map(|reply| reply.instance.clone());
        assert_eq!(found.collect::<BTreeSet<_>>(), ids);
        assert_eq!(replies.len(), INSTANCES);
        for reply in replies {
            assert_eq!(reply.result.unwrap().data, b"hi");
        }
    };
    // Without an expected count the call ends with the stall time.
    let stall = Duration::from_secs(1);
    let call = client.echo(blob(b"hi")).to_all().stall(stall);
    let started = Instant::now();
    check(call.await.unwrap().collect().await);
    assert!(started.elapsed() >= stall);
    // With an expected count it ends with the last reply.
    let call = client.echo(blob(b"hi")).timeout(LONGER_THAN_THE_TEST);
    let call = call
        .to_all()
        .stall(LONGER_THAN_THE_TEST)
        .expected(INSTANCES);
    let replies = async { call.await.unwrap().collect().await };
    check(within(LIMIT, replies).await);
    for fixture in &fixtures {
        let stats = fixture.server.stats();
        assert_eq!(stats[0].endpoints[0].num_requests, 2);
    }
}

async fn failures_name_their_instance(carrier: Carrier) {
    let (_fixtures, ids) = start_instances(&carrier).await;
    let client: BehaviorClient = carrier.bus.client();
    let request = FailRequest {
        code: 5,
        text: "no".into(),
    };
    let call = client.fail(request).to_all().expected(INSTANCES);
    let replies = call.await.unwrap().collect::<Vec<_>>().await;
    let found = replies.iter().map(|reply| reply.instance.clone());
    assert_eq!(found.collect::<BTreeSet<_>>(), ids);
    for reply in replies {
        assert_eq!(reply.result.unwrap_err().code(), Code::NotFound);
        assert_eq!(reply.metadata.get("failed-by"), Some("behaving"));
    }
    // A reply from before the handler names its instance too.
    let options = ServiceOptions::new().instance("full").max_concurrent(0);
    let service = BehaviorServer::new(BehaviorHandler::default());
    let server = Server::new(&carrier.bus).add_with(service, options);
    let _server = server.start().await.unwrap();
    let call = client.echo(blob(b"")).to_all().expected(INSTANCES + 1);
    let replies = call.await.unwrap().collect::<Vec<_>>().await;
    let full = replies.iter().find(|reply| reply.instance == "full");
    let rejected = full.unwrap().result.as_ref().unwrap_err();
    assert_eq!(rejected.reason(), Some(Reason::Overloaded));
}

/// Parts are not taken: several instances may have some.
async fn a_large_reply_is_too_large_and_names_its_instance(carrier: Carrier) {
    let (_fixtures, ids) = start_instances(&carrier).await;
    let caller = carrier.another_bus().await;
    for client in clients(&caller, &ClientOptions::new()) {
        let request = FillRequest { bytes: 1_200_000 };
        let call = client.fill(request).to_all().expected(INSTANCES);
        let replies = call.await.unwrap().collect::<Vec<_>>().await;
        let found = replies.iter().map(|reply| reply.instance.clone());
        assert_eq!(found.collect::<BTreeSet<_>>(), ids);
        for reply in replies {
            let status = reply.result.unwrap_err();
            assert_eq!(
                (status.code(), status.reason()),
                (Code::ResourceExhausted, Some(Reason::TooLarge)),
                "{status}"
            );
            let text = status.message();
            assert!(text.contains("takes 1200004 bytes"), "{text}");
        }
    }
}

async fn stall_time_and_timeout_limit_the_wait(carrier: Carrier) {
    let (fixtures, _) = start_instances(&carrier).await;
    let client = &fixtures[0].client;
    let call = client.wait(millis(700)).timeout(LIMIT);
    let call = call.to_all().stall(LIMIT).expected(INSTANCES);
    assert_eq!(call.await.unwrap().count().await, INSTANCES);
    let call = client
        .wait(millis(60_000))
        .timeout(Duration::from_millis(200));
    let ended = async {
        match call.to_all().await {
            // The deadline passes at the instances too, whose replies can be faster than the caller.
            Ok(mut replies) => {
                while let Some(reply) = replies.next().await {
                    assert_eq!(reply.result.unwrap_err().code(), Code::DeadlineExceeded);
                }
            }
            Err(status) => assert_eq!(status.code(), Code::DeadlineExceeded),
        }
    };
    within(LIMIT, ended).await;
}

/// None is sent back, whether or not there are instances, and none is waited for.
async fn no_reply_is_waited_for_where_none_is_expected(carrier: Carrier) {
    let client: BehaviorClient = carrier.bus.client();
    let (fixtures, _) = start_instances(&carrier).await;
    for client in [
        client,
        clients(&carrier.bus, &ClientOptions::new())[1].clone(),
    ] {
        let call = client.echo(blob(b"")).to_all().expected(0);
        let mut replies = within(LIMIT, async { call.await }).await.unwrap();
        assert!(replies.next().await.is_none());
    }
    let found = carrier.bus.discovery().ping().expected(0).await.unwrap();
    assert!(found.is_empty());
    drop(fixtures);
}

async fn a_call_without_instances_is_an_error(carrier: Carrier) {
    let client: BehaviorClient = carrier.bus.client();
    let status = client.echo(blob(b"")).to_all().await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::NoResponders));
}

async fn metadata_is_sent_both_ways(carrier: Carrier) {
    let (_fixtures, _) = start_instances(&carrier).await;
    let client: BehaviorClient = carrier.bus.client();
    let call = client.describe(blob(b"")).header("tenant", "acme");
    let mut replies = call.to_all().expected(INSTANCES).await.unwrap();
    while let Some(reply) = replies.next().await {
        let received = reply.result.unwrap();
        assert_eq!(received.metadata, ["tenant=acme"]);
        assert!((2_000..=5_000).contains(&received.remaining_ms));
        assert_eq!(reply.metadata.get("served-by"), Some("behaving"));
    }
    let call = client.echo(blob(b"")).header("Micro-X", "no").to_all();
    assert_eq!(call.await.unwrap_err().code(), Code::InvalidArgument);
}

async fn it_ends_with_the_parent_call(carrier: Carrier) {
    let (_fixtures, _) = start_instances(&carrier).await;
    let client: BehaviorClient = carrier.bus.client();
    let ctx = Context::for_test_with(Metadata::new(), Some(Duration::from_millis(100)));
    let call = client.wait(millis(60_000)).within(&ctx).to_all();
    let ended = async {
        if let Ok(replies) = call.await {
            replies.collect::<Vec<_>>().await;
        }
    };
    within(LIMIT, ended).await;
}

async fn the_prefix_of_the_bus_applies(carrier: Carrier) {
    let staging = carrier.bus.clone().with_prefix("staging").unwrap();
    let service = || BehaviorServer::new(BehaviorHandler::default());
    let server = Server::new(&staging).add(service()).start().await.unwrap();
    let _outside = Server::new(&carrier.bus)
        .add(service())
        .start()
        .await
        .unwrap();
    let client: BehaviorClient = staging.client();
    let started = Instant::now();
    let replies = client.echo(blob(b"")).to_all().await.unwrap();
    let replies = replies.collect::<Vec<_>>().await;
    assert!(started.elapsed() >= DEFAULT_STALL);
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].instance, server.instances()[0]);
}

/// Neither a streaming method is called so, nor a unary one whose request follows in parts: each instance would accept.
async fn no_stream_is_opened_on_all_instances(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let Some(client) = plain_client(&carrier).await else {
        return;
    };
    for (method, header) in [
        ("Count", None),
        ("Count", Some("v=2;w=4;b=65536")),
        ("Repeat", Some("v=2;w=4;b=65536")),
        ("Repeat", Some("v=2;u=1;l=2;w=4;b=65536")),
    ] {
        let subject = format!("streams.v1.Streams._i._all.{method}");
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("Micro-Stream", header);
        }
        let reply = client.request_with_headers(subject, headers, "".into());
        let headers = reply.await.unwrap().headers.unwrap();
        assert_eq!(headers.get("Micro-Status").unwrap().as_str(), "12");
        assert!(headers.get("Micro-Instance").is_some());
    }
    assert_eq!(fixture.handler.live_calls(), 0);
}
