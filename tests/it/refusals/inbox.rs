//! Callers whose user may not subscribe to its inbox.

use std::time::Duration;

use micro_runtime::{Bus, ErrorKind, Server, StreamOptions};
use micro_testkit::within;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::market::Trade;
use micro_tests::streams::StreamsServer;
use micro_tests::streams::{CountRequest, StreamsClient};
use micro_tests::{BehaviorHandler, StreamsHandler};

use super::users::{
    ALL, SHORT, User, check_refused, check_status, config, connect, nats_with, until_fast,
};

const LIMIT: Duration = Duration::from_secs(60);
const NAMED: [&str; 3] = [
    "_INBOX.caller.",
    "NATS_INBOX_PREFIX",
    "ConnectOptions::inbox_prefix",
];

fn users(inbox: &str) -> [User; 2] {
    [
        User::any("service"),
        User::new("caller", &[inbox, "evt.>"], ALL),
    ]
}

fn trade() -> Trade {
    Trade {
        venue: "sim".to_owned(),
        symbol: "S".to_owned(),
        ..Trade::default()
    }
}

async fn serve(bus: &Bus) -> micro_runtime::RunningServer {
    let server = Server::new(bus)
        .add(BehaviorServer::new(BehaviorHandler::on(bus)))
        .add(StreamsServer::new(StreamsHandler::default()));
    server.start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_waits_for_a_reply_fails_at_once() {
    within(LIMIT, async {
        let nats = nats_with(&users("_INBOX.other.>")).await;
        let service = connect(&nats, "service").await;
        let _server = serve(&service).await;
        until_fast(&nats, "caller", async |bus| {
            let client: BehaviorClient = bus.client();
            for named in NAMED {
                check_refused(client.echo(Blob::default()), named).await;
            }
            let large = Blob {
                data: vec![1; 3 << 20],
            };
            check_refused(client.echo(large), NAMED[0]).await;
            let all = client.echo(Blob::default()).to_all();
            check_refused(async { all.await.map(drop) }, NAMED[0]).await;
            let streams: StreamsClient = bus.client();
            let open = streams.count(CountRequest::default());
            check_refused(async { open.await.map(drop) }, NAMED[1]).await;
            let open = streams.echo().stream_options(StreamOptions::new());
            check_refused(async { open.open().await.map(drop) }, NAMED[2]).await;
            check_refused(bus.publish_durable(&trade()), NAMED[0]).await;
        })
        .await;

        let bus = connect(&nats, "caller").await;
        let error = bus.discovery().list().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        assert!(error.to_string().contains(NAMED[1]), "{error}");
        let error = bus.subscribe_raw("evt.x").open().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        let error = Server::new(&bus)
            .add(BehaviorServer::new(BehaviorHandler::on(&bus)))
            .start()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        let text = error.to_string();
        assert!(text.contains(NAMED[0]), "{text}");
        assert!(text.contains("`subscribe: \"_INBOX.caller.>\"`"), "{text}");
        assert_eq!(text.matches("does not let").count(), 1, "{text}");
    })
    .await;
}

/// The refusal arrives while the first call is in flight.
#[tokio::test]
async fn a_call_right_after_connecting_fails_too() {
    within(LIMIT, async {
        let nats = nats_with(&users("_INBOX.other.>")).await;
        for _ in 0..20 {
            let client: BehaviorClient = connect(&nats, "caller").await.client();
            check_refused(client.echo(Blob::default()), NAMED[0]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_program_that_only_publishes_works() {
    within(LIMIT, async {
        let nats = nats_with(&users("_INBOX.other.>")).await;
        let service = connect(&nats, "service").await;
        let mut events = service.subscribe_raw("evt.>").open().await.unwrap();
        let bus = connect(&nats, "caller").await;
        for number in 0..10 {
            bus.publish_raw("evt.n", number.to_string()).await.unwrap();
        }
        for number in 0..10 {
            let event = events.next().await.unwrap();
            assert_eq!(event.payload, number.to_string());
        }
        assert_eq!(bus.refused_events(), 0);
    })
    .await;
}

/// A new connection may have other permissions, in either direction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconnect_forgets_the_refusal_and_finds_a_new_one() {
    within(LIMIT, async {
        let mut nats = nats_with(&users("_INBOX.other.>")).await;
        let caller = connect(&nats, "caller").await;
        let client: BehaviorClient = caller.client();
        check_refused(client.echo(Blob::default()), NAMED[0]).await;
        nats.reload(&config(&users("_INBOX.caller.>"))).unwrap();
        nats.restart().await.unwrap();
        let service = connect(&nats, "service").await;
        let _server = serve(&service).await;
        crate::polling::wait_until_served(&client).await;
        nats.reload(&config(&users("_INBOX.other.>"))).unwrap();
        let lost = async {
            loop {
                match client.echo(Blob::default()).timeout(SHORT).await {
                    Err(status) if status.reason() == Some(micro_runtime::Reason::NotPermitted) => {
                        return status;
                    }
                    _ => tokio::time::sleep(Duration::from_millis(5)).await, // sleep: polling interval
                }
            }
        };
        check_status(&within(LIMIT, lost).await, NAMED[0]);
    })
    .await;
}

/// A reload allows the inbox: the connection need not be made anew, and no reply arrives twice after it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_that_is_allowed_again_is_subscribed_to_again() {
    within(LIMIT, async {
        let mut nats = nats_with(&users("_INBOX.caller.>")).await;
        let service = connect(&nats, "service").await;
        let _server = serve(&service).await;
        let caller = connect(&nats, "caller").await;
        let client: BehaviorClient = caller.client();
        for _ in 0..2 {
            client.echo(Blob::default()).await.unwrap();
            nats.reload(&config(&users("_INBOX.other.>"))).unwrap();
            let refused = async {
                loop {
                    if let Err(status) = client.echo(Blob::default()).await {
                        return status;
                    }
                }
            };
            check_status(&refused.await, NAMED[0]);
            // It is still refused when it is tried again.
            let violations = || nats.log().matches("Subscription Violation").count();
            let before = violations();
            while violations() == before {
                check_refused(client.echo(Blob::default()), NAMED[0]).await;
                tokio::time::sleep(Duration::from_millis(20)).await; // sleep: polling interval
            }
            nats.reload(&config(&users("_INBOX.caller.>"))).unwrap();
            crate::polling::wait_until_served(&client).await;
            let streams: StreamsClient = caller.client();
            drop(streams.echo().open().await.unwrap());
        }
        nats.restart().await.unwrap();
        crate::polling::wait_until_served(&client).await;
        let unmatched = caller.unmatched_replies();
        for _ in 0..10 {
            client.echo(Blob::default()).await.unwrap();
        }
        assert!(
            caller.unmatched_replies() < unmatched + 5,
            "each arrives once"
        );
    })
    .await;
}
