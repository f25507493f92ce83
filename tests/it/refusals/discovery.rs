//! Refused queries of discovery, each verb.

use std::time::Duration;

use micro_runtime::{Error, ErrorKind};
use micro_testkit::within;

use super::users::{User, connect, nats_with, until_fast};

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
