//! Refused queries of discovery, each verb.

use std::time::Duration;

use micro_runtime::discovery::Watch;
use micro_runtime::{Error, ErrorKind};
use micro_testkit::within;
use tracing::Level;

use super::users::{ALL, User, check_status, config, connect, nats_with, until_fast};
use crate::log_lines::LogLines;

const LIMIT: Duration = Duration::from_secs(60);

async fn check<T>(query: impl IntoFuture<Output = Result<T, Error>>, named: &str) {
    let Err(error) = query.await else {
        panic!("{named} is allowed");
    };
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    assert!(error.to_string().contains(named), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_query_fails_within_a_round_trip() {
    within(LIMIT, async {
        let nats = nats_with(&[User::client(&["a.B.>"])]).await;
        until_fast(&nats, "client", async |bus| {
            let discovery = bus.discovery();
            let ping = || discovery.ping().max_wait(2 * LIMIT);
            let list = discovery.list().max_wait(2 * LIMIT);
            check(list, "publish to `$SRV.INFO`").await;
            check(ping(), "publish to `$SRV.PING`").await;
            let stats = discovery.stats().max_wait(2 * LIMIT);
            check(stats, "publish to `$SRV.STATS`").await;
            let get = discovery.get("a.B").max_wait(2 * LIMIT);
            check(get, "publish to `$SRV.INFO.a-B`").await;
            let one = ping().of("a.B").instance("x");
            check(one, "publish to `$SRV.PING.a-B.x`").await;
        })
        .await;
        until_fast(&nats, "client", async |bus| {
            let all = bus.discovery().watch().open();
            check(all, "subscribe to `$SRV._EVENT.>`").await;
            let of_one = bus.discovery().watch().of("a.B").open();
            check(of_one, "subscribe to `$SRV._EVENT.a-B.").await;
        })
        .await;
        until_fast(&nats, "client", async |bus| {
            check(bus.subscribe_raw("evt.>").open(), "subscribe to `evt.>`").await;
            let grouped = bus.subscribe_raw("evt.x").queue("g");
            check(grouped.open(), "subscribe to `evt.x` in queue group `g`").await;
        })
        .await;
    })
    .await;
}

/// A refused query concerns itself alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_beside_a_refused_one_go_on() {
    within(LIMIT, async {
        let operator = User::client(&["$SRV.INFO", "$SRV.STATS", "_INBOX.client.>"]);
        let nats = nats_with(&[operator]).await;
        let bus = connect(&nats, "client").await;
        let discovery = bus.discovery();
        for _ in 0..3 {
            let (list, ping, stats) = tokio::join!(
                discovery.list().into_future(),
                discovery.ping().into_future(),
                discovery.stats().into_future()
            );
            assert!(list.unwrap().is_empty() && stats.unwrap().is_empty());
            assert_eq!(ping.unwrap_err().kind(), ErrorKind::Permission);
        }
    })
    .await;
}

/// Checks that a watch ends for a refused ping, behind what it has found.
async fn ends_by_its_pings(watch: &mut Watch) {
    while watch.next().await.is_some() {}
    let named = "publish to `$SRV.PING`; allow `publish: \"$SRV.>\"`";
    check_status(watch.error().unwrap(), named);
}

/// Without pings it would miss each instance that is there, and each death.
#[tokio::test]
async fn a_watch_whose_pings_are_refused_ends_with_the_reason() {
    within(LIMIT, async {
        let (lines, _log) = LogLines::start();
        let subscribe = ["_INBOX.client.>", "$SRV._EVENT.>"];
        let deaf = User::new("client", &subscribe, &["_INBOX.client.>"]);
        let nats = nats_with(std::slice::from_ref(&deaf)).await;
        until_fast(&nats, "client", async |bus| {
            let mut watch = bus.discovery().watch().open().await.unwrap();
            ends_by_its_pings(&mut watch).await;
        })
        .await;

        // By a reload of the permissions, while it runs. Nothing connects after a reload has begun: NATS may refuse
        // a login meanwhile.
        let mut nats = nats_with(&[User::new("client", &subscribe, ALL)]).await;
        let bus = connect(&nats, "client").await;
        let interval = Duration::from_millis(10);
        let watch = bus.discovery().watch().interval(interval);
        let mut watch = watch.open().await.unwrap();
        bus.discovery().ping().await.unwrap();
        let before = lines.containing("a watch has ended").len();
        nats.reload(&config(&[deaf])).unwrap();
        ends_by_its_pings(&mut watch).await;
        let logged = lines.containing("a watch has ended");
        assert_eq!(logged.len() - before, 1, "{logged:?}");
        assert!(logged.iter().all(|line| line.level == Level::ERROR));
    })
    .await;
}
