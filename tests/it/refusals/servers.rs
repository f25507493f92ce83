//! Running servers: what stops them, what does not, and replies that they may not publish.

use std::time::Duration;

use futures_util::FutureExt as _;
use micro_runtime::{Bus, Error, ErrorKind, RunningServer, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};

use super::users::{ALL, User, config, connect, nats_with, service_subscriptions};
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);
const SUBSCRIBE: [&str; 7] = service_subscriptions("other.>");
/// The documented publish permissions of a service.
const PUBLISH: [&str; 4] = [
    "_INBOX.>",
    "_R_.>",
    "_INBOX.service.>",
    "$SRV._EVENT.behavior-v1-Behavior.*",
];

fn service() -> User {
    User::new("service", &SUBSCRIBE, &PUBLISH)
}

async fn start(bus: &Bus) -> RunningServer {
    let server = Server::new(bus).add(BehaviorServer::new(BehaviorHandler::on(bus)));
    server.start().await.unwrap()
}

/// Checks that nothing that NATS has refused so far stops the server: events that are refused behind it are counted.
async fn is_running(server: &mut RunningServer, bus: &Bus) {
    for _ in 0..3 {
        let before = bus.refused_events();
        bus.publish_raw("refused.marker", "x").await.unwrap();
        until(|| bus.refused_events() > before).await;
    }
    assert!(server.stopped().now_or_never().is_none());
}

async fn stopped(mut server: RunningServer) -> Error {
    let stopped = within(LIMIT, server.stopped()).await;
    stopped.unwrap_err()
}

/// Each quotes a subject that the server serves, or its inbox.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refused_publish_stops_a_server() {
    within(LIMIT, async {
        let nats = nats_with(&[service(), User::client(&["behavior.v1.Behavior.>"])]).await;
        let bus = connect(&nats, "service").await;
        let mut server = start(&bus).await;
        let error = bus.discovery().ping().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        assert!(
            error.to_string().contains("publish to `$SRV.PING`"),
            "{error}"
        );
        bus.dynamic("behavior.v1.Behavior").await.unwrap_err();
        let own: BehaviorClient = bus.client();
        let status = own.echo(Blob::default()).await.unwrap_err();
        assert!(
            status
                .message()
                .contains("publish to `behavior.v1.Behavior.Echo`"),
            "{status}"
        );
        for subject in [
            "$SRV.INFO",
            "behavior.v1.Behavior._i._all.>x",
            "x\"behavior.v1.Behavior.Echo\"",
        ] {
            bus.publish_raw(subject, "x").await.unwrap();
        }
        until(|| bus.refused_events() >= 3).await;
        assert_eq!(bus.refused_events(), 3);
        is_running(&mut server, &bus).await;
        let client: BehaviorClient = connect(&nats, "client").await.client();
        client.echo(Blob::default()).await.unwrap();
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_a_reload_revokes_stops_its_server() {
    within(LIMIT, async {
        for (revoked, named) in [
            (0, "behavior.v1.Behavior."),
            (1, "behavior.v1.Behavior._i."),
            (5, "_INBOX.service."),
        ] {
            let mut nats = nats_with(&[service()]).await;
            let bus = connect(&nats, "service").await;
            let server = start(&bus).await;
            let mut reduced = service();
            reduced.subscribe.remove(revoked);
            nats.reload(&config(&[reduced])).unwrap();
            let error = stopped(server).await;
            assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
            assert!(error.to_string().contains(named), "{error}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_revokes_what_is_not_its_own_stops_no_server() {
    within(LIMIT, async {
        let mut nats = nats_with(&[service(), User::client(ALL)]).await;
        let bus = connect(&nats, "service").await;
        let mut server = start(&bus).await;
        let _other = bus.subscribe_raw("other.x").open().await.unwrap();
        let mut reduced = service();
        reduced.subscribe.truncate(6);
        reduced.publish.remove(3);
        nats.reload(&config(&[reduced, User::client(ALL)])).unwrap();
        until(|| nats.log().contains("Reloaded")).await;
        is_running(&mut server, &bus).await;
        let client: BehaviorClient = connect(&nats, "client").await.client();
        crate::polling::wait_until_served(&client).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_a_reconnect_meets_stops_the_server() {
    within(LIMIT, async {
        let mut nats = NatsServer::builder()
            .config("max_subscriptions: 100\n")
            .start()
            .await
            .unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let server = start(&bus).await;
        nats.reload("max_subscriptions: 12\n").unwrap();
        nats.restart().await.unwrap();
        let error = stopped(server).await;
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        assert!(error.to_string().contains("max_subscriptions"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconnect_with_all_permissions_keeps_the_server() {
    within(LIMIT, async {
        let mut nats = nats_with(&[service(), User::client(ALL)]).await;
        let bus = connect(&nats, "service").await;
        let mut server = start(&bus).await;
        let client: BehaviorClient = connect(&nats, "client").await.client();
        for _ in 0..3 {
            nats.restart().await.unwrap();
            crate::polling::wait_until_served(&client).await;
            is_running(&mut server, &bus).await;
        }
        server.shutdown().await.unwrap();
    })
    .await;
}

/// The handlers run and their replies vanish: it must be seen at the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_replies_are_counted_and_stop_nothing() {
    within(LIMIT, async {
        let mute = User::new("service", ALL, &["_INBOX.service.>", "_INBOX.operator.>"]);
        let users = [mute, User::client(ALL), User::any("operator")];
        let nats = nats_with(&users).await;
        let bus = connect(&nats, "service").await;
        let mut server = start(&bus).await;
        let client: BehaviorClient = connect(&nats, "client").await.client();
        for _ in 0..3 {
            let status = client
                .echo(Blob::default())
                .timeout(Duration::from_millis(100))
                .await
                .unwrap_err();
            assert_eq!(
                status.code(),
                micro_runtime::Code::DeadlineExceeded,
                "{status}"
            );
        }
        let all = client
            .echo(Blob::default())
            .timeout(Duration::from_millis(100))
            .to_all()
            .await;
        let status = all.unwrap_err();
        assert_eq!(
            status.code(),
            micro_runtime::Code::DeadlineExceeded,
            "{status}"
        );
        let refused = || server.stats()[0].data.as_ref().unwrap().refused_replies;
        until(|| refused() >= 4).await;
        assert_eq!(refused(), 4);
        is_running(&mut server, &bus).await;
        // Discovery shows it to an operator whose inbox the service may publish to.
        let operator = connect(&nats, "operator").await;
        let stats = operator.discovery().stats().await.unwrap();
        assert_eq!(stats[0].data.as_ref().unwrap().refused_replies, 4);
        let served: BehaviorClient = operator.client();
        served.echo(Blob::default()).await.unwrap();
    })
    .await;
}
