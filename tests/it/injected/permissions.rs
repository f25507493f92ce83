//! Calls, streams, replies, subscriptions and events that the in-process carrier refuses, as NATS would.

use std::time::Duration;

use micro_runtime::{
    Bus, Code, Context, ErrorKind, Reason, Server, Status, Subscriber, Subscription, service,
};
use micro_testkit::within;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, Empty, WaitRequest};
use micro_tests::market::{Trade, TradeFilter};
use micro_tests::streams::{CountRequest, Item};

use super::fixture::{Injected, with_and_without_a_layer};
use crate::until::until;

with_and_without_a_layer! {
    a_refused_call_fails_at_once_and_runs_nothing
    a_refused_call_ends_none_that_was_taken_before
    a_refused_frame_ends_its_stream
    a_refused_reply_is_counted_and_the_caller_waits
    a_refused_inbox_fails_every_call
    a_revoked_subscription_stops_its_server
    a_revoked_subscription_stops_its_server_in_a_flood
}

/// Limit for what ends at once.
const LIMIT: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(60);

/// Checks that a refusal has ended a call: at its deadline its reason would be another.
fn check_refused(status: &Status, subject: &str) {
    assert_eq!(
        (status.code(), status.reason()),
        (Code::PermissionDenied, Some(Reason::NotPermitted)),
        "{status}"
    );
    assert!(status.message().contains(subject), "{status}");
}

async fn a_refused_call_fails_at_once_and_runs_nothing(injected: Injected) {
    injected.faults.refuse_publish("behavior.v1.Behavior.Echo");
    injected
        .faults
        .refuse_publish("behavior.v1.Behavior._i._all.*");
    injected.faults.refuse_publish("streams.v1.Streams.*");
    let status = injected.client.echo(Blob::default()).await.unwrap_err();
    check_refused(&status, "`behavior.v1.Behavior.Echo`");
    let large = Blob {
        data: vec![1; 2 << 20],
    };
    let status = injected.client.echo(large).await.unwrap_err();
    check_refused(&status, "`behavior.v1.Behavior.Echo`");
    let call = injected.client.echo(Blob::default()).to_all();
    let status = call.await.unwrap_err();
    check_refused(&status, "`behavior.v1.Behavior._i._all.Echo`");
    let call = injected.stream_client.count(CountRequest::default());
    let status = call.timeout(LONG).await.unwrap_err();
    check_refused(&status, "`streams.v1.Streams.Count`");
    let status = injected.stream_client.collect().open().await.unwrap_err();
    check_refused(&status, "`streams.v1.Streams.Collect`");
    assert!(injected.handled.lock().unwrap().is_empty());
    injected.client.nothing(Empty {}).await.unwrap();
    injected.wait_until_idle().await;
}

async fn a_refused_call_ends_none_that_was_taken_before(injected: Injected) {
    let wait = BehaviorHandler::UNTIL_RELEASED;
    let waiting = (0..300).map(|_| injected.client.wait(wait).timeout(LONG).into_future());
    let waiting = tokio::spawn(futures_util::future::join_all(waiting));
    until(|| injected.behavior.running() == 300).await;
    injected.faults.refuse_publish("behavior.v1.Behavior.Wait");
    for _ in 0..3 {
        let status = injected.client.wait(wait).timeout(LONG).await.unwrap_err();
        check_refused(&status, "`behavior.v1.Behavior.Wait`");
    }
    injected.behavior.release();
    for call in waiting.await.unwrap() {
        call.unwrap();
    }
    injected.wait_until_idle().await;
}

async fn a_refused_frame_ends_its_stream(injected: Injected) {
    let mut collect = injected.stream_client.collect().open().await.unwrap();
    let item = Item::default();
    collect.send(item.clone()).await.unwrap();
    until(|| injected.streams.items_taken() == 1).await;
    injected
        .faults
        .refuse_publish("streams.v1.Streams._i.*._up.*");
    while collect.send(item.clone()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let status = collect.finish().await.unwrap_err();
    check_refused(&status, "._up.");
    injected.wait_until_idle().await;
}

async fn a_refused_reply_is_counted_and_the_caller_waits(injected: Injected) {
    injected.faults.refuse_publish("_INBOX.>");
    let call = injected.client.echo(Blob::default());
    let call = call.timeout(Duration::from_millis(100));
    let status = call.await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    let refused = || {
        injected.server.stats()[0]
            .data
            .as_ref()
            .map_or(0, |data| data.refused_replies)
    };
    until(|| refused() == 1).await;
    assert_eq!(injected.runs_on(&Blob::default()), 1);
    injected.faults.allow_all();
    injected.client.echo(Blob::default()).await.unwrap();
}

async fn a_refused_inbox_fails_every_call(injected: Injected) {
    let running = injected.client.wait(WaitRequest {
        milliseconds: 30_000,
    });
    let refusing = async {
        until(|| injected.behavior.running() == 1).await;
        injected.faults.refuse_subscribe("_INBOX.>");
    };
    let (result, ()) = tokio::join!(running.timeout(LONG).into_future(), refusing);
    check_refused(&result.unwrap_err(), "_INBOX.");
    let status = injected.client.echo(Blob::default()).await.unwrap_err();
    check_refused(&status, "_INBOX.");
    let status = injected.stream_client.echo().open().await.unwrap_err();
    check_refused(&status, "_INBOX.");
    // The next connection finds the same.
    injected.faults.disconnect();
    injected.faults.reconnect();
    let status = injected.client.echo(Blob::default()).await.unwrap_err();
    check_refused(&status, "_INBOX.");
    injected.faults.allow_all();
    injected.client.echo(Blob::default()).await.unwrap();
}

async fn a_revoked_subscription_stops_its_server(injected: Injected) {
    let Injected {
        mut server, faults, ..
    } = injected;
    faults.refuse_subscribe("behavior.v1.Behavior.Echo");
    let error = within(LIMIT, server.stopped()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    assert!(
        error.to_string().contains("`behavior.v1.Behavior.Echo`"),
        "{error}"
    );
}

async fn a_revoked_subscription_stops_its_server_in_a_flood(injected: Injected) {
    let Injected {
        mut server,
        faults,
        bus,
        ..
    } = injected;
    faults.refuse_publish("refused.>");
    for number in 0..2000 {
        let subject = format!("refused.{number}");
        bus.publish_raw(subject, "x").await.unwrap();
        if number == 1000 {
            faults.refuse_subscribe("behavior.v1.Behavior._i.*.>");
        }
    }
    let error = within(LIMIT, server.stopped()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    let named = "`behavior.v1.Behavior._i.";
    assert!(error.to_string().contains(named), "{error}");
    assert_eq!(bus.refused_events(), 2000, "none is lost in process");
}

#[tokio::test]
async fn a_start_without_a_permission_fails_and_names_the_subject() {
    for pattern in [
        "behavior.v1.Behavior.Echo",
        "behavior.v1.Behavior._i.*.>",
        "$SRV.PING",
    ] {
        let (bus, faults) = Bus::in_process_with_faults(1);
        faults.refuse_subscribe(pattern);
        let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
        let error = within(LIMIT, server.start()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        let literal = pattern.split('*').next().unwrap();
        assert!(error.to_string().contains(literal), "{error}");
        faults.allow_all();
        let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
        let _server = server.start().await.unwrap();
        let client: BehaviorClient = bus.client();
        client.echo(Blob::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_event_is_counted_and_a_refused_subscription_fails() {
    let (bus, faults) = Bus::in_process_with_faults(1);
    let mut events = bus.subscribe_raw("evt.>").open().await.unwrap();
    faults.refuse_publish("evt.a");
    bus.publish_raw("evt.a", "refused").await.unwrap();
    bus.publish_raw("evt.b", "arrives").await.unwrap();
    assert_eq!(events.next().await.unwrap().payload, "arrives");
    assert_eq!(bus.refused_events(), 1);
    faults.refuse_subscribe("evt.c");
    let error = bus.subscribe_raw("evt.c").open().await.err().unwrap();
    assert!(error.to_string().contains("`evt.c`"), "{error}");
}

/// In each case: refused at once, and while the bus is disconnected, so that the next connection refuses it.
#[tokio::test]
async fn a_revoked_subscription_ends_and_no_other() {
    for is_reconnect in [false, true] {
        let (bus, faults) = Bus::in_process_with_faults(1);
        let filter = TradeFilter::new().venue("sim");
        let mut typed = bus.subscribe::<Trade>(filter).open().await.unwrap();
        let mut raw = bus.subscribe_raw("evt.*.x").open().await.unwrap();
        let mut grouped = bus.subscribe_raw("evt.a").queue("q").open().await.unwrap();
        let mut kept = bus.subscribe_raw("evt.kept").open().await.unwrap();
        let mut watch = bus.discovery().watch().open().await.unwrap();
        bus.publish_raw("evt.a.x", "before").await.unwrap();
        if is_reconnect {
            faults.disconnect();
        }
        for pattern in ["evt.market.>", "evt.*.x", "evt.a", "$SRV._EVENT.>"] {
            faults.refuse_subscribe(pattern);
        }
        if is_reconnect {
            faults.reconnect();
        }
        let ends = async {
            let status = typed.next().await.unwrap().unwrap_err();
            check_refused(&status, "subscribe to `evt.market.trade.sim.*`");
            assert!(typed.next().await.is_none());
            // What has arrived is read first.
            assert_eq!(raw.next().await.unwrap().payload, "before");
            assert!(raw.next().await.is_none());
            check_refused(raw.error().unwrap(), "subscribe to `evt.*.x`");
            assert!(grouped.next().await.is_none());
            check_refused(grouped.error().unwrap(), "`evt.a` in queue group `q`");
            while watch.next().await.is_some() {}
            check_refused(watch.error().unwrap(), "`$SRV._EVENT.>`");
        };
        within(LIMIT, ends).await;
        bus.publish_raw("evt.kept", "arrives").await.unwrap();
        assert_eq!(kept.next().await.unwrap().payload, "arrives");
        assert!(kept.error().is_none());
        faults.allow_all();
        let mut again = bus.subscribe_raw("evt.a").open().await.unwrap();
        bus.publish_raw("evt.a", "again").await.unwrap();
        assert_eq!(again.next().await.unwrap().payload, "again");
    }
}

#[tokio::test]
async fn a_revoked_event_handler_stops_its_server() {
    let (bus, faults) = Bus::in_process_with_faults(1);
    let server = Server::new(&bus).subscribe::<Trade>(TradeReader, Subscription::broadcast());
    let mut server = server.start().await.unwrap();
    faults.refuse_subscribe("evt.market.trade.*.*");
    let error = within(LIMIT, server.stopped()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    let named = "subscribe to `evt.market.trade.*.*`";
    assert!(error.to_string().contains(named), "{error}");
}

/// Handler that takes every trade.
struct TradeReader;

#[service]
impl Subscriber<Trade> for TradeReader {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        Ok(())
    }
}

/// A new connection, or 100 ms, and they are sent again.
#[tokio::test]
async fn refused_events_are_counted_and_kept_back_for_a_moment() {
    within(LIMIT, async {
        let (bus, faults) = Bus::in_process_with_faults(1);
        let mut events = bus.subscribe_raw("evt.*").open().await.unwrap();
        faults.refuse_publish("evt.a");
        let publish = || bus.publish_raw("evt.a", "x").into_future();
        for _ in 0..3 {
            publish().await.unwrap();
        }
        assert_eq!(bus.refused_events(), 3);
        faults.allow_all();
        bus.publish_raw("evt.b", "x").await.unwrap();
        assert_eq!(
            events.next().await.unwrap().context.subject(),
            Some("evt.b")
        );
        let mut published = 0;
        let allowed = async {
            while bus.refused_events() == 3 + published {
                published += 1;
                publish().await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await; // sleep: until the refusal is forgotten
            }
        };
        allowed.await;
        assert_eq!(
            events.next().await.unwrap().context.subject(),
            Some("evt.a")
        );
        assert_eq!(bus.refused_events(), 3 + published - 1);
        faults.refuse_publish("evt.a");
        publish().await.unwrap();
        faults.disconnect();
        faults.allow_all();
        faults.reconnect();
        publish().await.unwrap();
        assert_eq!(
            events.next().await.unwrap().context.subject(),
            Some("evt.a")
        );
    })
    .await;
}
