//! Refused durable events: publishing, requests to JetStream, pulls, acknowledgments and replays.

use std::time::Duration;

use futures_util::FutureExt as _;
use micro_runtime::jetstream::{Durable, EventStream};
use micro_runtime::{
    Bus, Code, Context, Error, ErrorKind, Reason, RunningServer, Server, Status, Subscriber,
    service,
};
use micro_testkit::{NatsServer, within};
use micro_tests::market::Trade;

use super::users::{User, check_refused, check_status, config, connect, until_fast};
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);
const PULL: &str = "$JS.API.CONSUMER.MSG.NEXT.MARKET.rec";

/// Handler that takes every trade.
struct Taking;

#[service]
impl Subscriber<Trade> for Taking {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        Ok(())
    }
}

fn trade(number: u64) -> Trade {
    Trade {
        venue: "sim".to_owned(),
        symbol: format!("S{number}"),
        number,
        ..Trade::default()
    }
}

fn users(denied: &[&str]) -> [User; 2] {
    [User::any("owner"), User::any("user").denied(denied)]
}

/// Starts JetStream with the stream `MARKET` and three trades in it; connects a user who may not publish to `denied`.
async fn market(denied: &[&str]) -> (NatsServer, Bus) {
    let nats = NatsServer::builder()
        .jetstream()
        .config(&config(&users(denied)));
    let nats = nats.start().await.unwrap();
    let owner = connect(&nats, "owner").await;
    let stream = EventStream::named("MARKET").subject("evt.market.>");
    owner.declare(&stream).await.unwrap();
    for number in 0..3 {
        owner.publish_durable(&trade(number)).await.unwrap();
    }
    let bus = connect(&nats, "user").await;
    (nats, bus)
}

async fn consume(bus: &Bus) -> Result<RunningServer, Error> {
    let durable = Durable::named("rec");
    let server = Server::new(bus).subscribe::<Trade>(Taking, durable);
    server.start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_durable_publish_fails_at_once_and_is_not_sent_again() {
    within(LIMIT, async {
        let (nats, bus) = market(&["evt.market.trade.sim.*"]).await;
        let named = "publish to `evt.market.trade.sim.S";
        check_refused(bus.publish_durable(&trade(1)), named).await;
        check_refused(bus.publish_durable(&trade(2)).id("mine"), named).await;
        let sent = bus.publish_durable(&trade(3)).send().await.unwrap();
        check_refused(sent, named).await;
        let publisher = bus.durable_publisher();
        for number in 4..20 {
            drop(publisher.publish(&trade(number)).send().await);
        }
        check_refused(publisher.flush(), named).await;
        let status = bus.publish_durable(&trade(1)).await.unwrap_err();
        assert!(status.message().contains("is not stored"), "{status}");
        until(|| nats.log().matches("Publish Violation").count() >= 4).await;
        let violations = nats.log().matches("Publish Violation").count();
        assert!(violations <= 20, "{violations} for 20 events");
        until_fast(&nats, "user", async |bus| {
            check_refused(bus.publish_durable(&trade(1)), named).await;
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_to_jetstream_that_is_denied_fails_the_start_by_name() {
    within(LIMIT, async {
        for denied in [
            "$JS.API.STREAM.NAMES",
            "$JS.API.STREAM.INFO.MARKET",
            "$JS.API.CONSUMER.INFO.MARKET.rec",
            "$JS.API.CONSUMER.CREATE.MARKET.rec.evt.market.trade.*.*",
            "$JS.API.STREAM.INFO.MARKET-DLQ",
            "$JS.API.STREAM.CREATE.MARKET-DLQ",
            "$JS.API.STREAM.CREATE.MARKET-ATTEMPTS",
            "$JS.API.STREAM.MSG.GET.MARKET-ATTEMPTS",
        ] {
            let (_nats, bus) = market(&[denied]).await;
            let error = consume(&bus).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
            let text = error.to_string();
            let named = format!("publish to `{denied}`");
            assert!(text.contains(&named), "{text}");
            // It is not known whether the stream or the consumer exists.
            assert!(
                ["cannot look up ", "cannot create ", "cannot read "]
                    .iter()
                    .any(|cannot| text.starts_with(cannot)),
                "{text}"
            );
        }
        let (_nats, bus) = market(&["$JS.API.STREAM.CREATE.>"]).await;
        let stream = EventStream::named("OTHER").subject("evt.other.>");
        let error = bus.declare(&stream).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    })
    .await;
}

/// The server serves on, and consumes once an operator has allowed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_pulls_show_at_the_consumer_and_are_tried_again() {
    within(LIMIT, async {
        let (mut nats, bus) = market(&[PULL]).await;
        let mut server = consume(&bus).await.unwrap();
        until(|| server.events()[0].refused > 0).await;
        let stats = server.events().remove(0);
        check_status(&stats.last_error.unwrap(), &format!("publish to `{PULL}`"));
        assert_eq!(stats.received, 0);
        nats.reload(&config(&users(&[]))).unwrap();
        until(|| server.events()[0].handled == 3).await;
        assert!(server.stopped().now_or_never().is_none());
        server.shutdown().await.unwrap();
    })
    .await;
}

/// The server serves on, and consumes once an operator has allowed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_acknowledgments_stop_the_consumer_until_they_are_allowed() {
    within(LIMIT, async {
        let (mut nats, bus) = market(&["$JS.ACK.>"]).await;
        let mut server = consume(&bus).await.unwrap();
        until(|| server.events()[0].refused >= 3).await;
        let stats = server.events().remove(0);
        let status = stats.last_error.unwrap();
        check_status(&status, "publish to `$JS.ACK.");
        let line = "`publish: \"$JS.ACK.MARKET.rec.>\"`";
        assert!(status.message().contains(line), "{status}");
        assert_eq!(bus.refused_events(), 0);
        assert!(server.stopped().now_or_never().is_none());

        let owner = connect(&nats, "owner").await;
        nats.reload(&config(&users(&[]))).unwrap();
        // More than the consumer had requested before it stopped.
        for number in 3..63 {
            owner.publish_durable(&trade(number)).await.unwrap();
        }
        until(|| server.events()[0].handled >= 63).await;
        server.shutdown().await.unwrap();
    })
    .await;
}

/// Handler that fails.
struct Refusing;

impl Subscriber<Trade> for Refusing {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        Err(Status::aborted("no"))
    }
}

/// The grace period of this server never ends: a stop that waits for it exceeds the limit of the test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_dead_letters_show_at_the_consumer_and_hold_up_no_stop() {
    within(LIMIT, async {
        let (mut nats, bus) = market(&["dlq.>"]).await;
        let start = async || {
            let durable = Durable::named("rec").max_attempts(1).dead_letter();
            let server = Server::new(&bus)
                .grace(LIMIT * 100)
                .subscribe::<Trade>(Refusing, durable);
            server.start().await.unwrap()
        };
        let server = start().await;
        until(|| server.events()[0].refused >= 3).await;
        let stats = server.events().remove(0);
        let status = stats.last_error.unwrap();
        check_status(&status, "publish to `dlq.MARKET.rec`");
        let line = "`publish: \"dlq.MARKET.rec\"`";
        assert!(status.message().contains(line), "{status}");
        server.shutdown().await.unwrap();

        // No event is lost: each has its letter once an operator has allowed it.
        nats.reload(&config(&users(&[]))).unwrap();
        let server = start().await;
        let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
        let stream = jetstream.get_stream("MARKET-DLQ").await.unwrap();
        while stream.get_info().await.unwrap().state.messages < 3 {
            tokio::task::yield_now().await;
        }
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_replay_fails_within_a_round_trip() {
    within(LIMIT, async {
        for denied in [
            "$JS.API.STREAM.NAMES",
            "$JS.API.STREAM.INFO.>",
            "$JS.API.CONSUMER.CREATE.>",
        ] {
            let (nats, _bus) = market(&[denied]).await;
            until_fast(&nats, "user", async |bus| {
                let open = bus.replay::<Trade>().open();
                let named = denied.trim_end_matches('>');
                check_refused(async { open.await.map(drop) }, named).await;
            })
            .await;
        }
        let (nats, _bus) = market(&["$JS.API.CONSUMER.MSG.NEXT.>"]).await;
        until_fast(&nats, "user", async |bus| {
            let mut replay = bus.replay::<Trade>().open().await.unwrap();
            let next = async { replay.next().await.unwrap().map(drop) };
            check_refused(next, "publish to `$JS.API.CONSUMER.MSG.NEXT.MARKET.").await;
        })
        .await;
    })
    .await;
}

/// An acknowledgment that cannot be received: the event may be stored, the inbox is the cause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_without_an_inbox_hears_it() {
    within(LIMIT, async {
        let deaf = User::new("user", &["evt.>"], &[">"]);
        let nats = NatsServer::builder()
            .jetstream()
            .config(&config(&[User::any("owner"), deaf]));
        let nats = nats.start().await.unwrap();
        let bus = connect(&nats, "user").await;
        check_refused(bus.publish_durable(&trade(1)), "_INBOX.user.").await;
        let status = bus.publish_durable(&trade(1)).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert_eq!(status.reason(), Some(Reason::NotPermitted));
    })
    .await;
}
