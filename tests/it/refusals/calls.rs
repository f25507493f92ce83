//! Refused calls: unary, to one instance, to all, in parts.

use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::{ClientOptions, Code, Server, StreamOptions};
use micro_testkit::within;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, FailRequest, FillRequest};

use super::users::{User, check_refused, check_status, config, connect, nats_with, until_fast};
use crate::layered::with_and_without_layer;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);

/// Options without and with a layer, of calls that only a refusal ends within the limit of a test.
fn options() -> [ClientOptions; 2] {
    let streams = StreamOptions::new().open_timeout(2 * LIMIT);
    let options = ClientOptions::new().timeout(2 * LIMIT);
    with_and_without_layer(&options.stream_options(streams))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_fails_within_a_round_trip() {
    within(LIMIT, async {
        let nats = nats_with(&[User::client(&["behavior.v1.Behavior.Echo"])]).await;
        for options in options() {
            until_fast(&nats, "client", async |bus| {
                let client: BehaviorClient = bus.client_with(options.clone());
                let named = "publish to `behavior.v1.Behavior.Fill`";
                check_refused(client.fill(FillRequest::default()), named).await;
                // The same again, remembered.
                check_refused(client.fill(FillRequest::default()), named).await;
            })
            .await;
            until_fast(&nats, "client", async |bus| {
                let client: BehaviorClient = bus.client_with(options.clone());
                check_refused(
                    client.describe(Blob::default()),
                    "publish to `behavior.v1.Behavior.Describe`; allow `publish: \"behavior.v1.Behavior.>\"`",
                )
                .await;
            })
            .await;
            until_fast(&nats, "client", async |bus| {
                let one = options.clone().instance("abc");
                let one: BehaviorClient = bus.client_with(one);
                let named = "publish to `behavior.v1.Behavior._i.abc.Echo`";
                check_refused(one.echo(Blob::default()), named).await;
            })
            .await;
            // The second time in parts: the opening is refused.
            let large = Blob {
                data: vec![7; 3 << 20],
            };
            for message in [Blob::default(), large] {
                until_fast(&nats, "client", async |bus| {
                    let other = options.clone().subject_base("acme.Behavior");
                    let other: BehaviorClient = bus.client_with(other);
                    let named = "publish to `acme.Behavior.Echo`";
                    check_refused(other.echo(message.clone()), named).await;
                })
                .await;
            }
        }
    })
    .await;
}

/// The large one was never sent as one message, which NATS would have refused, but as the opening of a stream. Neither
/// takes the refusal of the other, whichever comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_and_an_oversize_call_end_each_by_its_own_refusal() {
    within(LIMIT, async {
        let nats = nats_with(&[User::client(&["behavior.v1.Behavior.Fill"])]).await;
        for options in options() {
            for _ in 0..20 {
                let bus = connect(&nats, "client").await;
                let client: BehaviorClient = bus.client_with(options.clone());
                let large = Blob {
                    data: vec![7; 3 << 20],
                };
                let text = "publish to `behavior.v1.Behavior.Echo`";
                tokio::join!(
                    check_refused(client.echo(Blob::default()), text),
                    check_refused(client.echo(large), text),
                );
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_to_all_that_is_refused_fails_within_a_round_trip() {
    within(LIMIT, async {
        let nats = nats_with(&[User::client(&["behavior.v1.Behavior.*"])]).await;
        let named = "publish to `behavior.v1.Behavior._i._all.Echo`";
        for options in options() {
            until_fast(&nats, "client", async |bus| {
                let client: BehaviorClient = bus.client_with(options.clone());
                let all = client.echo(Blob::default()).to_all();
                check_refused(async { all.await.map(drop) }, named).await;
            })
            .await;
            until_fast(&nats, "client", async |bus| {
                let client: BehaviorClient = bus.client_with(options.clone());
                let all = client.echo(Blob::default()).to_all().expected(3);
                check_refused(async { all.await.map(drop) }, named).await;
            })
            .await;
        }
    })
    .await;
}

/// NATS refuses by subject: what is allowed on the same connection goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_calls_to_a_refused_subject_end_and_no_other() {
    within(LIMIT, async {
        let allowed = ["behavior.v1.Behavior.Echo", "behavior.v1.Behavior.Fail"];
        let nats = nats_with(&[User::any("service"), User::client(&allowed)]).await;
        let service = connect(&nats, "service").await;
        let server = Server::new(&service).add(BehaviorServer::new(BehaviorHandler::on(&service)));
        let _server = server.start().await.unwrap();
        // No call waits for its deadline.
        let options = ClientOptions::new().timeout(2 * LIMIT);
        let client: BehaviorClient = connect(&nats, "client").await.client_with(options);
        let refused =
            join_all((0..200).map(|_| async { client.fill(FillRequest::default()).await }));
        let echoed = join_all((0..200).map(|_| async { client.echo(Blob::default()).await }));
        let (refused, echoed) = tokio::join!(refused, echoed);
        for status in refused {
            check_status(
                &status.unwrap_err(),
                "publish to `behavior.v1.Behavior.Fill`",
            );
        }
        for reply in echoed {
            reply.unwrap();
        }
        // A handler's own refusal is not taken for one of NATS.
        let denied = FailRequest {
            code: 7,
            text: "not you".into(),
        };
        let status = client.fail(denied).await.unwrap_err();
        assert_eq!(
            (status.code(), status.reason()),
            (Code::PermissionDenied, None)
        );
        assert_eq!(status.message(), "not you");
    })
    .await;
}

/// Calls that come right after a refusal are not sent, and a second later they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_subject_is_remembered_for_a_second() {
    within(LIMIT, async {
        let service = User::any("service");
        let users = [
            service.clone(),
            User::client(&["behavior.v1.Behavior.Fill"]),
        ];
        let mut nats = nats_with(&users).await;
        let bus = connect(&nats, "service").await;
        let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::on(&bus)));
        let _server = server.start().await.unwrap();
        let client: BehaviorClient = connect(&nats, "client").await.client();
        for _ in 0..100 {
            check_refused(client.echo(Blob::default()), "`behavior.v1.Behavior.Echo`").await;
        }
        let violations = nats.log().matches("Publish Violation").count();
        // One in each second, which a busy machine takes some of.
        assert!(violations <= 20, "{violations} of 100 calls were sent");
        nats.reload(&config(&[
            service,
            User::client(&["behavior.v1.Behavior.>"]),
        ]))
        .unwrap();
        let allowed = async {
            while client.echo(Blob::default()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polling interval
            }
        };
        // A test of `RefusedSubjects`, with a clock of its own, has the exact time.
        within(Duration::from_secs(5), allowed).await;
    })
    .await;
}

/// A subject that is refused to a caller and quoted in the error stops nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_refused_is_counted_and_ends_nothing() {
    within(LIMIT, async {
        let users = [
            User::any("service"),
            User::client(&["behavior.v1.Behavior.>"]),
        ];
        let nats = nats_with(&users).await;
        let service = connect(&nats, "service").await;
        let server = Server::new(&service).add(BehaviorServer::new(BehaviorHandler::on(&service)));
        let _server = server.start().await.unwrap();
        let bus = connect(&nats, "client").await;
        let client: BehaviorClient = bus.client();
        for subject in ["evt.a", "evt.b", "_INBOX.somebody.x"] {
            for _ in 0..10 {
                bus.publish_raw(subject, "x").await.unwrap();
            }
        }
        client.echo(Blob::default()).await.unwrap();
        until(|| bus.refused_events() >= 30).await;
        client.echo(Blob::default()).await.unwrap();
        assert_eq!(bus.refused_events(), 30);
    })
    .await;
}
