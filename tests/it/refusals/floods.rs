//! Whatever waits for an error of NATS beside a flood of refused messages on the same connection ends by that error.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::{ClientOptions, ErrorKind, Reason, Server, StreamOptions};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, WaitRequest};
use micro_tests::streams::{CountRequest, Item, StreamsClient};

use super::flood::{Flood, Kind, publish_burst};
use super::users::{ALL, User, check_refused, config, connect, nats_with};
use crate::streams::fixture::StreamsFixture;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(120);
/// Timeout of what ends by an error of NATS.
const LONG: Duration = Duration::from_secs(300);

/// Options of streams that send no PING, whose error would end them.
fn without_pings() -> StreamOptions {
    let options = StreamOptions::new();
    options.heartbeat(LONG).idle_timeout(3 * LONG)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn calls_of_all_instances_and_queries_behind_a_burst_fail_at_once() {
    within(LIMIT, async {
        let nats = nats_with(&[User::client(&["nothing"])]).await;
        for length in [300, 2000] {
            for _ in 0..10 {
                let bus = connect(&nats, "client").await;
                let client: BehaviorClient = bus.client();
                publish_burst(&bus, length).await;
                let all = async {
                    let call = client.echo(Blob::default()).timeout(LONG);
                    call.to_all().await.map(drop)
                };
                check_refused(all, "publish to `behavior.v1.Behavior._i._all.Echo`").await;
                publish_burst(&bus, length).await;
                let error = bus.discovery().ping().max_wait(LONG).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn refused_frames_behind_a_burst_end_their_streams() {
    within(LIMIT, async {
        let users = [
            User::any("service"),
            User::client(&["streams.v1.Streams.*"]),
        ];
        let nats = nats_with(&users).await;
        let service = connect(&nats, "service").await;
        let _fixture = StreamsFixture::start(&service).await;
        for round in 0..20 {
            let bus = connect(&nats, "client").await;
            let client: StreamsClient =
                bus.client_with(ClientOptions::new().stream_options(without_pings()));
            let (mut sender, mut replies) = client.echo().open().await.unwrap();
            publish_burst(&bus, [300, 2000][round % 2]).await;
            // One frame: there is no second one whose error could be passed on.
            sender.send(Item::default()).await.unwrap();
            let reading = async { replies.message().await.map(drop) };
            check_refused(reading, "publish to `streams.v1.Streams._i.").await;
        }
    })
    .await;
}

/// Each handler sends one frame and then waits for a grant, of a caller that has got none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn refused_frames_of_a_server_end_their_stream_in_a_flood() {
    within(LIMIT, async {
        let service = User::new("service", ALL, &["_INBOX.>"]).denied(&["_INBOX.client.>"]);
        let users = [service.with(", allow_responses: true"), User::any("client")];
        let nats = nats_with(&users).await;
        let bus = connect(&nats, "service").await;
        let fixture = StreamsFixture::start(&bus).await;
        let flood = Flood::start(&bus, Kind::Bursts).await;
        let client: StreamsClient = connect(&nats, "client").await.client();
        let streams = (0..20).map(|_| {
            let request = CountRequest {
                messages: 10,
                ..CountRequest::default()
            };
            let window = without_pings().window_messages(1);
            client.count(request).stream_options(window).into_future()
        });
        let accepted = join_all(streams).await;
        assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
        fixture.handler.wait_until_idle().await;
        let endpoint = fixture.server.stats().remove(0).endpoints.remove(0);
        assert!(
            endpoint.last_error.contains("NATS does not let"),
            "{endpoint:?}"
        );
        flood.end().await;
    })
    .await;
}

/// Nothing that is allowed is held up, lost or overtaken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn events_published_in_a_flood_arrive_in_order() {
    for kind in [Kind::Bursts, Kind::FewSubjects] {
        publish_in_order(kind).await;
    }
}

async fn publish_in_order(kind: Kind) {
    within(LIMIT, async {
        let publisher = User::new("publisher", ALL, &["evt.number", "_INBOX.publisher.>"]);
        let nats = nats_with(&[publisher, User::any("subscriber")]).await;
        let subscriber = connect(&nats, "subscriber").await;
        let mut events = subscriber.subscribe_raw("evt.number").open().await.unwrap();
        let bus = connect(&nats, "publisher").await;
        let flood = Flood::start(&bus, kind).await;
        let publishing = async {
            for number in 0..3000_u32 {
                bus.publish_raw("evt.number", number.to_string())
                    .await
                    .unwrap();
                if number % 10 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await; // sleep: spreads them over several probes
                }
            }
        };
        let reading = async {
            for number in 0..3000_u32 {
                let event = events.next().await.unwrap();
                assert_eq!(event.payload, number.to_string());
            }
        };
        tokio::join!(publishing, reading);
        flood.end().await;
    })
    .await;
}

/// For 100 ms after a refusal further events to its subject are counted without being sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn events_to_a_refused_subject_are_kept_back_for_a_moment_and_counted() {
    const EVENTS: u64 = 5000;
    within(LIMIT, async {
        let publisher = |lines: &[&str]| User::new("publisher", &["_INBOX.publisher.>"], lines);
        let own = ["evt.allowed", "_INBOX.publisher.>"];
        let users = [publisher(&own), User::any("subscriber")];
        let nats = nats_with(&users).await;
        let subscriber = connect(&nats, "subscriber").await;
        let mut events = subscriber.subscribe_raw("evt.*").open().await.unwrap();
        let bus = connect(&nats, "publisher").await;
        bus.publish_raw("evt.refused", "x").await.unwrap();
        until(|| bus.refused_events() == 1).await;
        for _ in 1..EVENTS {
            bus.publish_raw("evt.refused", "x").await.unwrap();
        }
        until(|| bus.refused_events() == EVENTS).await;
        let sent = nats.log().matches("Publish Violation").count() as u64;
        assert!(sent <= EVENTS / 10, "{sent} were sent");
        let too_long = vec![0; 2 << 20];
        let error = bus.publish_raw("evt.refused", too_long).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::TooLarge), "{error}");
        bus.publish_raw("evt.allowed", "x").await.unwrap();
        assert_eq!(events.next().await.unwrap().payload, "x");
    })
    .await;
}

/// Until one of many grants had its effect in time, as not every one has on a busy machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn events_arrive_soon_after_their_subject_is_allowed() {
    // Events are kept back for 100 ms, with a trial after 50 ms.
    const IN_TIME: Duration = Duration::from_millis(300);
    within(LIMIT, async {
        let users = |line: &str| {
            let lines = [line, "_INBOX.publisher.>"];
            let publisher = User::new("publisher", &["_INBOX.publisher.>"], &lines);
            config(&[publisher, User::any("subscriber")])
        };
        let nats = NatsServer::builder().config(&users("none"));
        let mut nats = nats.start().await.unwrap();
        let subscriber = connect(&nats, "subscriber").await;
        let mut events = subscriber.subscribe_raw("evt.*").open().await.unwrap();
        let bus = connect(&nats, "publisher").await;
        for round in 0_u64.. {
            let subject = format!("evt.{round}");
            let refused = bus.refused_events();
            bus.publish_raw(&subject, "refused").await.unwrap();
            until(|| bus.refused_events() > refused).await;
            nats.reload(&users(&subject)).unwrap();
            until(|| nats.log().matches("Reloaded server configuration").count() as u64 > round)
                .await;
            let allowed = Instant::now();
            let publishing = async {
                loop {
                    let payload = subject.clone();
                    bus.publish_raw(&subject, payload).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(1)).await; // sleep: polling interval
                }
            };
            let received = async {
                // Of an earlier round there may be more.
                while events.next().await.unwrap().payload != subject {}
            };
            tokio::select! {
                () = received => {}
                () = publishing => {}
            }
            if allowed.elapsed() < IN_TIME {
                break;
            }
        }
    })
    .await;
}

/// async-nats may drop the events of a lost connection, and of the new one, as it does others in a flood.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn calls_in_flight_end_with_the_connection_in_a_flood() {
    within(LIMIT, async {
        let users = [
            User::any("service"),
            User::client(&["behavior.v1.Behavior.>"]),
        ];
        let mut nats = nats_with(&users).await;
        let service = connect(&nats, "service").await;
        let handler = BehaviorHandler::on(&service);
        let server = Server::new(&service).add(BehaviorServer::new(handler.clone()));
        let _server = server.start().await.unwrap();
        for (round, kind) in [Kind::NewSubjects, Kind::Bursts, Kind::NewSubjects]
            .into_iter()
            .enumerate()
        {
            let bus = connect(&nats, "client").await;
            let client: BehaviorClient = bus.client();
            while client.echo(Blob::default()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polling interval
            }
            let flood = Flood::start(&bus, kind).await;
            let request = WaitRequest {
                milliseconds: 3_600_000,
            };
            let waiting = tokio::spawn(client.wait(request).timeout(LONG).into_future());
            until(|| handler.started() > round).await;
            nats.restart().await.unwrap();
            let status = waiting.await.unwrap().unwrap_err();
            assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
            flood.end().await;
        }
    })
    .await;
}
