//! The warning of a start about JetStream streams that store calls.

use std::time::Duration;

use micro_runtime::{Bus, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::behavior::BehaviorServer;
use micro_tests::streams::StreamsServer;
use micro_tests::{BehaviorHandler, StreamsHandler};

use super::users::{User, config, connect};
use crate::disturbing_peers::capture;
use crate::log_lines::LogLines;
use crate::until::until;

/// Starts two services, of which the second is the one whose calls are stored.
async fn start(bus: &Bus) -> micro_runtime::RunningServer {
    let server = Server::new(bus)
        .add(StreamsServer::new(StreamsHandler::default()))
        .add(BehaviorServer::new(BehaviorHandler::on(bus)));
    server.start().await.unwrap()
}

#[tokio::test]
async fn a_start_warns_of_each_stream_that_stores_its_calls() {
    within(Duration::from_secs(60), async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        capture(&bus, "ONE", &["behavior.v1.Behavior.Echo"]).await;
        capture(&bus, "INSTANCES", &["behavior.v1.Behavior._i.>"]).await;
        capture(&bus, "ELSEWHERE", &["behavior.v2.>"]).await;
        let (lines, _log) = LogLines::start();
        let _server = start(&bus).await;
        until(|| lines.containing("stores calls").len() >= 2).await;
        let warnings = format!("{:?}", lines.containing("stores calls"));
        for part in ["ONE", "INSTANCES", "behavior.v1.Behavior.>"] {
            assert!(warnings.contains(part), "{warnings}");
        }
        assert!(!warnings.contains("ELSEWHERE"), "{warnings}");
    })
    .await;
}

/// Neither without JetStream nor without the permission is anything logged.
#[tokio::test]
async fn a_start_that_may_not_ask_is_silent() {
    within(Duration::from_secs(60), async {
        let service = User::any("service").denied(&["$JS.API.>", "$SRV._EVENT.>"]);
        let users = config(&[User::any("owner"), service]);
        for builder in [
            NatsServer::builder().config(&users),
            NatsServer::builder().config(&users).jetstream(),
        ] {
            let nats = builder.start().await.unwrap();
            for user in ["service", "owner"] {
                let (lines, _log) = LogLines::start();
                let bus = connect(&nats, user).await;
                let server = start(&bus).await;
                if user == "service" {
                    until(|| nats.log().contains("$JS.API.STREAM.NAMES")).await;
                }
                // Everything that the start has sent was refused or not by now.
                drop(bus.subscribe_raw("evt.x").open().await.unwrap());
                server.shutdown().await.unwrap();
                for text in ["NATS does not let", "stores calls"] {
                    let found = lines.containing(text);
                    assert!(found.is_empty(), "{user}: {found:?}");
                }
                assert_eq!(bus.refused_events(), 0);
            }
        }
    })
    .await;
}
