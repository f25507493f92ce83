//! Messages that nats-server itself sends to the subjects of methods and events: its 503, and the heartbeats of a push
//! consumer. No handler runs on them. And a server that accepts a stream behind an acknowledgment of JetStream.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, push};
use micro_runtime::{Bus, Reason, RunningServer, Server, ServiceOptions, Subscription};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::market::{Trade, TradeFilter};
use micro_tests::streams::{CountRequest, Item};

use crate::events::trades::trade;
use crate::injected::events::TradeNumbers;
use crate::round_trip::round_trip;
use crate::streams::fixture::StreamsFixture;
use crate::until::until;

const ECHO: &str = "behavior.v1.Behavior.Echo";

fn requests(server: &RunningServer, method: &str) -> u64 {
    let stats = server.stats().remove(0);
    let mut endpoints = stats.endpoints.into_iter();
    let found = endpoints.find(|endpoint| endpoint.name == method);
    found.unwrap().num_requests
}

/// NATS sends its 503 to the connection of the publisher alone, which has a plain subscription to the subject.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_503_to_the_subject_of_a_method_runs_no_handler() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let options = ServiceOptions::new().queue_group("-");
    let handler = BehaviorHandler::on(&bus);
    let server = Server::new(&bus).add_with(BehaviorServer::new(handler), options);
    let server = server.start().await.unwrap();
    let mut events = bus
        .subscribe::<Trade>(TradeFilter::new())
        .open()
        .await
        .unwrap();
    let own = bus.nats().unwrap();
    for reply in [
        ECHO,
        "behavior.v1.Behavior._i._all.Echo",
        "evt.market.trade.a.b",
    ] {
        for _ in 0..10 {
            own.publish_with_reply("nobody.here", reply, "x".into())
                .await
                .unwrap();
        }
    }
    round_trip(&own).await;
    let client: BehaviorClient = bus.client();
    client.echo(Blob::default()).await.unwrap();
    let to_all = client.echo(Blob::default()).to_all().expected(1);
    assert!(to_all.await.unwrap().next().await.unwrap().result.is_ok());
    assert_eq!(requests(&server, "Echo"), 2);
    bus.publish(&trade("a", "b", 7)).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().number, 7);
    assert_eq!(events.undecodable(), 10);
}

/// As with `nats consumer add --target <method> --heartbeat`. NATS sends them where a subscription without wildcards
/// has the subject.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_heartbeats_of_a_push_consumer_run_no_handler() {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let numbers = TradeNumbers::default();
    let filter = TradeFilter::new().venue("a").symbol("b");
    let one_subject = Subscription::queue("q").filter(filter);
    let server = Server::new(&bus)
        .add(BehaviorServer::new(BehaviorHandler::on(&bus)))
        .subscribe::<Trade>(numbers.clone(), one_subject);
    let server = server.start().await.unwrap();
    let plain = async_nats::connect(nats.url()).await.unwrap();
    let context = jetstream::new(plain.clone());
    let jobs = jetstream::stream::Config {
        name: "JOBS".into(),
        subjects: vec!["jobs.>".into()],
        ..Default::default()
    };
    let jobs = context.create_stream(jobs).await.unwrap();
    for (number, subject) in [ECHO, "evt.market.trade.a.b"].into_iter().enumerate() {
        let consumer = push::Config {
            durable_name: Some(format!("d{number}")),
            deliver_subject: subject.into(),
            deliver_group: Some("q".into()),
            idle_heartbeat: Duration::from_millis(100),
            ack_policy: AckPolicy::None,
            ..Default::default()
        };
        jobs.create_consumer(consumer).await.unwrap();
    }
    // Those of the second consumer; the first has sent some before.
    until(|| server.events()[0].undecodable >= 5).await;
    let client: BehaviorClient = bus.client();
    client.echo(Blob::default()).await.unwrap();
    assert_eq!(requests(&server, "Echo"), 1);
    bus.publish(&trade("a", "b", 7)).await.unwrap();
    until(|| server.events()[0].handled == 1).await;
    assert_eq!(numbers.take(), [7]);
}

/// The acknowledgment is mostly first, and ends the call at its caller. The server has accepted the stream all the
/// same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_a_stream_captures_leave_no_handler() {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let fixture = StreamsFixture::start(&bus).await;
    let captured = jetstream::stream::Config {
        name: "CAPTURED".into(),
        subjects: vec!["streams.v1.Streams.*".into()],
        ..Default::default()
    };
    let context = jetstream::new(bus.nats().unwrap().clone());
    context.create_stream(captured).await.unwrap();
    let mut failures = 0;
    for number in 0..30_u32 {
        let opened = match number % 3 {
            0 => fixture.client.echo().open().await.map(drop),
            1 => {
                let request = CountRequest {
                    messages: 1_000_000,
                    pause_us: 1_000_000,
                    ..CountRequest::default()
                };
                fixture.client.count(request).await.map(drop)
            }
            _ => {
                let large = Item {
                    data: vec![1; 3 << 20],
                    ..Item::default()
                };
                fixture.client.repeat(large).await.map(drop)
            }
        };
        if let Err(status) = opened {
            assert_eq!(status.reason(), Some(Reason::NotAService), "{status}");
            failures += 1;
        }
    }
    assert!(failures > 0);
    // Far less than a heartbeat.
    let idle = fixture.handler.wait_until_idle();
    within(Duration::from_secs(1), idle).await;
    fixture.wait_until_idle().await;
}
