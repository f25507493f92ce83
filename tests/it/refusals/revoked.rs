//! Subscriptions that NATS revokes after they have worked, by a reload of its permissions or at a reconnect.

use std::time::Duration;

use futures_util::FutureExt as _;
use micro_runtime::jetstream::{Durable, EventStream};
use micro_runtime::{Bus, Code, ErrorKind, Server, Subscription};
use micro_testkit::{NatsServer, within};
use micro_tests::market::{Closed, Trade, TradeFilter};
use tracing::Level;

use super::trade_taker::TradeTaker;
use super::users::{ALL, User, check_status, config, connect};
use crate::durable::market::trade;
use crate::log_lines::LogLines;
use crate::until::until;

macro_rules! by_reload_and_at_a_reconnect {
    ($($name:ident)*) => {
        by_reload_and_at_a_reconnect! { @reload Reload $($name)* }
        by_reload_and_at_a_reconnect! { @reconnect Reconnect $($name)* }
    };
    (@$module:ident $way:ident $($name:ident)*) => {
        mod $module {$(
            #[tokio::test]
            async fn $name() {
                micro_testkit::within(super::LIMIT, super::$name(super::PermissionChange::$way)).await;
            }
        )*}
    };
}

by_reload_and_at_a_reconnect! {
    streams_and_watches_end
    a_member_of_one_queue_group_ends_alone
    hundreds_that_are_revoked_at_once_all_end
    a_reader_that_waits_is_woken
    a_server_of_events_stops
    a_durable_consumer_subscribes_again
    a_replay_yields_the_reason
}

const LIMIT: Duration = Duration::from_secs(60);
/// What is left to a user whose subscriptions are revoked.
const KEPT: [&str; 4] = [
    "_INBOX.user.*.>",
    "evt.kept",
    "evt.shared second",
    "evt.market.closed",
];

/// How the permissions change.
#[derive(Clone, Copy)]
enum PermissionChange {
    Reload,
    Reconnect,
}

fn users(subscribe: &[&str]) -> String {
    config(&[User::any("owner"), User::new("user", subscribe, ALL)])
}

/// Starts JetStream with two users who may do everything.
async fn start() -> NatsServer {
    let nats = NatsServer::builder().jetstream().config(&users(ALL));
    nats.start().await.unwrap()
}

/// Leaves `subscribe` to the user.
async fn change(nats: &mut NatsServer, kind: PermissionChange, subscribe: &[&str]) {
    match kind {
        PermissionChange::Reload => nats.reload(&users(subscribe)).unwrap(),
        PermissionChange::Reconnect => {
            nats.set_config(&users(subscribe)).unwrap();
            nats.restart().await.unwrap();
        }
    }
}

/// Each stream of events and watch ends with the reason, and is logged once; no other subscription ends.
async fn streams_and_watches_end(kind: PermissionChange) {
    let (lines, _log) = LogLines::start();
    let mut nats = start().await;
    let bus = connect(&nats, "user").await;
    let all = bus.subscribe::<Trade>(TradeFilter::new()).open();
    let some = bus.subscribe::<Trade>(TradeFilter::new().venue("sim"));
    let (mut all, mut some) = (all.await.unwrap(), some.open().await.unwrap());
    let mut raw = bus.subscribe_raw("evt.other.*").open().await.unwrap();
    let mut kept = bus.subscribe_raw("evt.kept").open().await.unwrap();
    let mut watch = bus.discovery().watch().open().await.unwrap();
    bus.publish(&trade(1)).await.unwrap();
    assert_eq!(all.next().await.unwrap().unwrap(), trade(1));

    change(&mut nats, kind, &KEPT).await;
    // What has arrived is read before the end.
    let (_, event) = some.next_with_context().await.unwrap().unwrap();
    assert_eq!(event, trade(1));
    let status = some.next_with_context().await.unwrap().unwrap_err();
    check_status(&status, "subscribe to `evt.market.trade.sim.*`");
    let status = all.next().await.unwrap().unwrap_err();
    check_status(&status, "subscribe to `evt.market.trade.*.*`");
    for _ in 0..2 {
        assert!(all.next().await.is_none());
        assert!(some.next_with_context().await.is_none());
    }
    assert!(raw.next().await.is_none());
    check_status(raw.error().unwrap(), "subscribe to `evt.other.*`");
    raw.drain().await.unwrap();
    while watch.next().await.is_some() {}
    check_status(watch.error().unwrap(), "subscribe to `$SRV._EVENT.>`");
    bus.publish_raw("evt.kept", "x").await.unwrap();
    assert_eq!(kept.next().await.unwrap().payload, "x");
    are_logged_once(&lines);

    change(&mut nats, kind, ALL).await;
    can_be_opened_again(&bus).await;
    let _ = kept.drain().await;
    while kept.next().await.is_some() {}
    assert!(kept.error().is_none(), "an end by its reader has no reason");
}

fn are_logged_once(lines: &LogLines) {
    for subject in [
        "`evt.market.trade.*.*`;",
        "`evt.market.trade.sim.*`;",
        "`evt.other.*`;",
        "`$SRV._EVENT.>`;",
    ] {
        let logged = lines.containing(subject);
        assert_eq!(logged.len(), 1, "{subject}: {logged:?}");
        assert_eq!(logged[0].level, Level::ERROR, "{logged:?}");
    }
    assert!(lines.containing("`evt.kept`").is_empty());
}

/// Nothing is left of those that have ended.
async fn can_be_opened_again(bus: &Bus) {
    let opened = async {
        loop {
            match bus.subscribe_raw("evt.other.*").open().await {
                Ok(events) => return events,
                // The connection may be another one again, and not be there yet.
                Err(error) => assert!(
                    matches!(error.kind(), ErrorKind::Permission | ErrorKind::Connect),
                    "{error}"
                ),
            }
            tokio::time::sleep(Duration::from_millis(1)).await; // sleep: polling interval
        }
    };
    let mut again = opened.await;
    bus.publish_raw("evt.other.x", "again").await.unwrap();
    assert_eq!(again.next().await.unwrap().payload, "again");
}

/// NATS permits by subject and queue group.
async fn a_member_of_one_queue_group_ends_alone(kind: PermissionChange) {
    let mut nats = start().await;
    let bus = connect(&nats, "user").await;
    let mut plain = bus.subscribe_raw("evt.shared").open().await.unwrap();
    let group = |name: &str| bus.subscribe_raw("evt.shared").queue(name).open();
    let mut first = group("first").await.unwrap();
    let mut second = group("second").await.unwrap();
    change(&mut nats, kind, &KEPT).await;
    assert!(plain.next().await.is_none());
    check_status(plain.error().unwrap(), "subscribe to `evt.shared`;");
    assert!(first.next().await.is_none());
    let named = "`evt.shared` in queue group `first`";
    check_status(first.error().unwrap(), named);
    let owner = connect(&nats, "owner").await;
    owner.publish_raw("evt.shared", "x").await.unwrap();
    assert_eq!(second.next().await.unwrap().payload, "x");
    assert!(second.error().is_none());
}

/// More than the errors that async-nats keeps.
async fn hundreds_that_are_revoked_at_once_all_end(kind: PermissionChange) {
    let mut nats = start().await;
    let bus = connect(&nats, "user").await;
    let open = |number: usize| bus.subscribe_raw(format!("evt.n{number}")).open();
    let mut revoked = Vec::new();
    for number in 0..400 {
        revoked.push(open(number).await.unwrap());
    }
    let mut kept = bus.subscribe_raw("evt.kept").open().await.unwrap();
    change(&mut nats, kind, &KEPT).await;
    for (number, events) in revoked.iter_mut().enumerate() {
        assert!(events.next().await.is_none());
        check_status(events.error().unwrap(), &format!("`evt.n{number}`;"));
    }
    bus.publish_raw("evt.kept", "x").await.unwrap();
    assert_eq!(kept.next().await.unwrap().payload, "x");
}

/// A reader that is being polled, as in a task, is woken by the refusal.
async fn a_reader_that_waits_is_woken(kind: PermissionChange) {
    let mut nats = start().await;
    let bus = connect(&nats, "user").await;
    let mut typed = bus
        .subscribe::<Trade>(TradeFilter::new())
        .open()
        .await
        .unwrap();
    let mut raw = bus.subscribe_raw("evt.other").open().await.unwrap();
    let waiting = tokio::spawn(async move { (typed.next().await, raw.next().await.is_none()) });
    change(&mut nats, kind, &KEPT).await;
    let (item, has_ended) = waiting.await.unwrap();
    check_status(&item.unwrap().unwrap_err(), "`evt.market.trade.*.*`");
    assert!(has_ended);
}

/// The server of a revoked event handler stops; one on the same bus with other subscriptions does not.
async fn a_server_of_events_stops(kind: PermissionChange) {
    let mut nats = start().await;
    let bus = connect(&nats, "user").await;
    let server = Server::new(&bus);
    let group = Subscription::queue("recorder");
    let server = server.subscribe::<Trade>(TradeTaker, group).start();
    let mut server = server.await.unwrap();
    let other = Server::new(&bus).subscribe::<Closed>(TradeTaker, Subscription::broadcast());
    let mut other = other.start().await.unwrap();
    change(&mut nats, kind, &KEPT).await;
    let error = server.stopped().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    let named = "subscribe to `evt.market.trade.*.*` in queue group `recorder`";
    assert!(error.to_string().contains(named), "{error}");
    assert!(other.stopped().now_or_never().is_none());
    other.shutdown().await.unwrap();
}

async fn market(nats: &NatsServer) -> Bus {
    let owner = connect(nats, "owner").await;
    let stream = EventStream::named("MARKET").subject("evt.market.>");
    owner.declare(&stream).await.unwrap();
    for number in 0..3 {
        owner.publish_durable(&trade(number)).await.unwrap();
    }
    owner
}

/// A durable consumer shows that its deliveries cannot arrive, and gets them once that is allowed again.
async fn a_durable_consumer_subscribes_again(kind: PermissionChange) {
    let mut nats = start().await;
    let owner = market(&nats).await;
    let bus = connect(&nats, "user").await;
    let server = Server::new(&bus).subscribe::<Trade>(TradeTaker, Durable::named("rec"));
    let mut server = server.start().await.unwrap();
    until(|| server.events()[0].handled == 3).await;
    change(&mut nats, kind, &KEPT).await;
    until(|| server.events()[0].refused > 0).await;
    let stats = server.events().remove(0);
    check_status(&stats.last_error.unwrap(), "subscribe to `_INBOX.user.");
    change(&mut nats, kind, ALL).await;
    let stored = owner.publish_durable(&trade(3)).wait_for_ready();
    stored.await.unwrap();
    until(|| server.events()[0].handled >= 4).await;
    assert!(server.stopped().now_or_never().is_none());
    server.shutdown().await.unwrap();
}

/// A server whose consumer has no subscription any more stops as any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stops_while_its_durable_consumer_is_revoked() {
    within(LIMIT, async {
        let mut nats = start().await;
        let _owner = market(&nats).await;
        let bus = connect(&nats, "user").await;
        let server = Server::new(&bus).subscribe::<Trade>(TradeTaker, Durable::named("rec"));
        let server = server.start().await.unwrap();
        change(&mut nats, PermissionChange::Reload, &KEPT).await;
        until(|| server.events()[0].refused > 0).await;
        server.shutdown().await.unwrap();
    })
    .await;
}

/// A replay yields the reason, and reads on behind the last event once it is allowed again.
async fn a_replay_yields_the_reason(kind: PermissionChange) {
    let mut nats = start().await;
    let owner = market(&nats).await;
    let bus = connect(&nats, "user").await;
    let mut replay = bus.replay::<Trade>().follow().open().await.unwrap();
    for number in 0..3 {
        assert_eq!(replay.next().await.unwrap().unwrap().event.number, number);
    }
    change(&mut nats, kind, &KEPT).await;
    let refused = async {
        loop {
            let status = replay.next().await.unwrap().unwrap_err();
            if status.code() == Code::PermissionDenied {
                return status;
            }
        }
    };
    check_status(&refused.await, "subscribe to `_INBOX.user.");
    change(&mut nats, kind, ALL).await;
    let stored = owner.publish_durable(&trade(3)).wait_for_ready();
    stored.await.unwrap();
    let read_on = async {
        loop {
            if let Ok(event) = replay.next().await.unwrap() {
                return event;
            }
        }
    };
    assert_eq!(read_on.await.event.number, 3);
}
