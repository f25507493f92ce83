//! Pull requests: the bytes that they ask for, and each status that JetStream replies with.

use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config;
use futures_util::StreamExt as _;
use micro_runtime::jetstream::{Durable, StartFrom};
use micro_runtime::{Bus, RunningServer, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::market::Trade;
use prost::Message as _;
use prost::encoding::encode_varint;

use super::market::{TIMEOUT, market_stream, publish_trades, start_market, trade};
use super::recorder::Recorder;
use crate::log_lines::LogLines;
use crate::round_trip::round_trip;
use crate::separate_connections::raw_client::RawConnection;

/// Length of a text that makes an event of about 900 kB.
const LONG: usize = 900_000;

async fn consume(bus: &Bus, recorder: &Recorder) -> RunningServer {
    let server = Server::new(bus).subscribe::<Trade>(recorder.clone(), Durable::named("books"));
    server.start().await.unwrap()
}

/// Stores events of 900 kB, more than NATS keeps for a connection.
async fn publish_long(bus: &Bus, count: u64) {
    let jetstream = async_nats::jetstream::new(bus.nats().unwrap());
    // A field that `Trade` does not have.
    let mut field = vec![0x7a];
    encode_varint(LONG as u64, &mut field);
    field.resize(field.len() + LONG, b'x');
    for number in 1..=count {
        let payload = [trade(number).encode_to_vec(), field.clone()].concat();
        let stored = jetstream.publish("evt.market.trade.sim.S1", payload.into());
        stored.await.unwrap().await.unwrap();
    }
}

/// 108 MB in requests of 300 events, where NATS ends a connection for which 64 MiB wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_events_are_pulled_without_a_lost_connection() {
    const COUNT: u64 = 120;
    within(2 * TIMEOUT, async {
        let (nats, admin) = start_market().await;
        publish_long(&admin, COUNT).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        let recorder = Recorder::succeeding();
        let durable = Durable::named("books").max_concurrent(300);
        let server = Server::new(&bus).subscribe::<Trade>(recorder.clone(), durable);
        let server = server.start().await.unwrap();
        let mut replay = bus.replay::<Trade>().open().await.unwrap();
        for expected in 1..=COUNT {
            assert_eq!(replay.next().await.unwrap().unwrap().number, expected);
        }
        assert!(replay.next().await.is_none());
        recorder
            .wait_for(|recorder| recorder.succeeded().len() as u64 == COUNT)
            .await;
        assert_eq!(recorder.attempts().len() as u64, COUNT);
        assert!(!nats.log().contains("MaxPending"), "{}", nats.log());
        server.shutdown().await.unwrap();
    })
    .await;
}

/// The longest event that NATS takes was longer when some events were stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_longer_than_a_request_asks_for_is_pulled() {
    within(TIMEOUT, async {
        // 40 consumers share the bytes of a connection, so that each asks for little more than one event.
        let nats = NatsServer::builder().jetstream().config("max_payload: 8MB");
        let mut nats = nats.start().await.unwrap();
        let admin = Bus::connect(nats.url()).await.unwrap();
        admin.declare(&market_stream()).await.unwrap();
        publish_trades(&admin, [1]).await;
        let jetstream = async_nats::jetstream::new(admin.nats().unwrap());
        let long = vec![0x7a; 3 * 1024 * 1024];
        let stored = jetstream.publish("evt.market.trade.sim.S2", long.into());
        stored.await.unwrap().await.unwrap();
        publish_trades(&admin, [3]).await;
        nats.set_config("max_payload: 64KB").unwrap();
        nats.restart().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let mut others = Vec::new();
        for _ in 0..40 {
            let end = bus.replay::<Trade>().start_from(StartFrom::New).follow();
            others.push(end.open().await.unwrap());
        }
        let mut replay = bus.replay::<Trade>().open().await.unwrap();
        assert_eq!(replay.next().await.unwrap().unwrap().number, 1);
        // It is no trade.
        assert!(replay.next().await.unwrap().is_err());
        assert_eq!(replay.next().await.unwrap().unwrap().number, 3);
        assert!(replay.next().await.is_none());
    })
    .await;
}

/// Limits that an operator has set for the requests of a consumer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_keep_to_the_limits_that_an_operator_has_set() {
    let limits: [fn(&mut Config); 3] = [
        |config| config.max_batch = 5,
        |config| config.max_expires = Duration::from_secs(2),
        |config| config.max_bytes = 100_000,
    ];
    for set_limit in limits {
        within(TIMEOUT, async {
            let (nats, bus) = start_market().await;
            let jetstream = async_nats::jetstream::new(bus.nats().unwrap());
            let recorder = Recorder::succeeding();
            consume(&bus, &recorder).await.shutdown().await.unwrap();
            let stream = jetstream.get_stream("MARKET").await.unwrap();
            let info = stream.consumer_info("books").await.unwrap();
            let mut config = Config {
                durable_name: Some("books".to_owned()),
                ack_policy: AckPolicy::Explicit,
                ack_wait: info.config.ack_wait,
                max_ack_pending: info.config.max_ack_pending,
                max_deliver: info.config.max_deliver,
                filter_subject: info.config.filter_subject.clone(),
                metadata: info.config.metadata.clone(),
                description: info.config.description.clone(),
                ..Config::default()
            };
            set_limit(&mut config);
            stream.update_consumer(config).await.unwrap();
            let plain = async_nats::connect(nats.url()).await.unwrap();
            let mut requests = pull_requests(&plain).await;
            let server = consume(&bus, &recorder).await;
            publish_trades(&bus, 1..=200).await;
            recorder
                .wait_for(|recorder| recorder.succeeded().len() == 200)
                .await;
            let (first, second) = (next(&mut requests).await, next(&mut requests).await);
            assert_ne!(first.text, second.text);
            server.shutdown().await.unwrap();
        })
        .await;
    }
}

/// A pull request, and where its events go.
struct PullRequest {
    text: String,
    inbox: String,
}

async fn pull_requests(plain: &async_nats::Client) -> Subscriber {
    let requests = plain
        .subscribe("$JS.API.CONSUMER.MSG.NEXT.>")
        .await
        .unwrap();
    round_trip(plain).await;
    requests
}

async fn next(requests: &mut Subscriber) -> PullRequest {
    let request = within(TIMEOUT, requests.next()).await.unwrap();
    PullRequest {
        text: String::from_utf8_lossy(&request.payload).into_owned(),
        inbox: request.reply.unwrap().to_string(),
    }
}

/// Sends a status to the inbox of a consumer that waits for events; returns after its next request, with the log.
async fn after_status(status: &str) -> LogLines {
    let (log, _guard) = LogLines::start();
    let (nats, bus) = start_market().await;
    let plain = async_nats::connect(nats.url()).await.unwrap();
    let mut requests = pull_requests(&plain).await;
    let mut lookups = plain.subscribe("$JS.API.CONSUMER.INFO.>").await.unwrap();
    let recorder = Recorder::succeeding();
    let server = consume(&bus, &recorder).await;
    let first = next(&mut requests).await;
    // Of the start.
    let _ = within(TIMEOUT, lookups.next()).await;
    let mut raw = RawConnection::connect(&nats).await;
    let headers = format!("NATS/1.0 {status}\r\n\r\n");
    raw.publish_with_headers(&first.inbox, headers.as_bytes(), b"")
        .await;
    let second = next(&mut requests).await;
    assert_eq!(second.inbox, first.inbox, "{status}");
    publish_trades(&bus, 1..=20).await;
    recorder
        .wait_for(|recorder| recorder.succeeded().len() == 20)
        .await;
    server.shutdown().await.unwrap();
    log
}

/// Nothing is restored where nothing is lost, and each status is survived.
#[tokio::test]
async fn each_status_is_followed_by_another_request() {
    let check = async |status: &str, logged: &str| {
        let log = within(TIMEOUT, after_status(status)).await;
        let lines = log.containing("");
        let lines: Vec<_> = lines.iter().map(|line| &*line.text).collect();
        match logged {
            "" => assert!(lines.is_empty(), "{status}: {lines:?}"),
            text => assert!(
                lines.iter().any(|line| line.contains(text)),
                "{status}: {lines:?}"
            ),
        }
    };
    check("404 No Messages", "").await;
    check("408 Request Timeout", "").await;
    check("409 Message Size Exceeds MaxBytes", "").await;
    check("409 Leadership Change", "").await;
    check("409 Server Shutdown", "").await;
    check("409 Consumer Deleted", "lost a durable consumer").await;
    check("503", "lost a durable consumer").await;
    let rejects = "JetStream rejects the requests for events";
    check("400 Bad Request - heartbeat value too large", rejects).await;
    check("409 Exceeded MaxWaiting", rejects).await;
}

/// A replay whose last deliveries are lost reads them again: no later one would show that they are missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_notices_by_a_heartbeat_that_its_last_deliveries_are_lost() {
    within(TIMEOUT, async {
        let (nats, bus) = start_market().await;
        publish_trades(&bus, 1..=3).await;
        let plain = async_nats::connect(nats.url()).await.unwrap();
        let mut requests = pull_requests(&plain).await;
        let mut replay = bus.replay::<Trade>().follow().open().await.unwrap();
        let request = next(&mut requests).await;
        for expected in 1..=3 {
            assert_eq!(replay.next().await.unwrap().unwrap().number, expected);
        }
        let mut raw = RawConnection::connect(&nats).await;
        let position = "Nats-Last-Consumer: 5\r\nNats-Last-Stream: 5\r\n";
        let headers = format!("NATS/1.0 100 Idle Heartbeat\r\n{position}\r\n");
        raw.publish_with_headers(&request.inbox, headers.as_bytes(), b"")
            .await;
        let reading = tokio::spawn(async move { replay.next().await.unwrap().unwrap().number });
        let other = loop {
            let other = next(&mut requests).await;
            if other.inbox != request.inbox {
                break other;
            }
        };
        assert!(other.text.contains(r#""batch":500"#), "{}", other.text);
        publish_trades(&bus, [4]).await;
        assert_eq!(reading.await.unwrap(), 4);
    })
    .await;
}
