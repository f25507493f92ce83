//! Queries of `bus.discovery()`, and the cached directory.

use std::time::Duration;

use futures_util::FutureExt as _;
use micro_runtime::discovery::{Directory, Snapshot};
use micro_runtime::{Bus, ErrorKind, Server};
use micro_testkit::{NatsServer, within};

use super::handwritten_services::{OneGreeter, OtherGreeter};
use super::plain_client::plain_client;
use crate::carriers::{Carrier, on_both_carriers};
use crate::round_trip::round_trip;

on_both_carriers! {
    a_query_reaches_the_selected_instances
    invalid_replies_are_ignored
    a_directory_is_cached_for_its_maximum_age
}

/// Time after the last reply at which a query without an expected count ends. It is longer than the
/// default, so that a query is complete on a busy machine too.
const STALL: Duration = Duration::from_secs(1);
/// Time limits of a query that must end before, with its last expected reply.
const LONGER_THAN_THE_TEST: Duration = Duration::from_secs(600);

/// Returns the number of instances that reply to a ping.
async fn count_instances(bus: &Bus) -> usize {
    let pongs = bus.discovery().ping().stall(STALL).await;
    pongs.unwrap().len()
}

/// Returns a snapshot that is ready at the first poll, hence without a query.
fn cached_snapshot(directory: &Directory) -> Option<Snapshot> {
    let snapshot = directory.snapshot().now_or_never()?;
    Some(snapshot.unwrap())
}

async fn a_query_reaches_the_selected_instances(carrier: Carrier) {
    let first = Server::new(&carrier.bus)
        .add(OneGreeter)
        .start()
        .await
        .unwrap();
    let second = Server::new(&carrier.bus)
        .add(OneGreeter)
        .add(OtherGreeter)
        .start()
        .await
        .unwrap();
    let discovery = carrier.bus.discovery();
    assert_eq!(count_instances(&carrier.bus).await, 3);
    assert_eq!(
        discovery
            .ping()
            .of("one.v1.Greeter")
            .stall(STALL)
            .await
            .unwrap()
            .len(),
        2
    );
    let id = &second.instances()[0];
    for query in [
        discovery.get("one.v1.Greeter").instance(id),
        discovery.list().instance(id),
    ] {
        // A query for one instance ends with its reply.
        let query = query
            .stall(LONGER_THAN_THE_TEST)
            .max_wait(LONGER_THAN_THE_TEST);
        let found = within(Duration::from_secs(20), query.into_future()).await;
        assert_eq!(found.unwrap(), second.info()[..1]);
    }
    let pongs = discovery.ping().instance(&first.instances()[0]).await;
    let pongs = pongs.unwrap();
    assert!(pongs[0].round_trip > Duration::ZERO);
    assert_eq!(pongs[0].instance.version, "1.0.0");
}

async fn invalid_replies_are_ignored(carrier: Carrier) {
    let _server = Server::new(&carrier.bus)
        .add(OneGreeter)
        .start()
        .await
        .unwrap();
    if let Some(client) = plain_client(&carrier).await {
        let mut requests = client.subscribe("$SRV.PING").await.unwrap();
        round_trip(&client).await;
        tokio::spawn(async move {
            use futures_util::StreamExt as _;
            while let Some(message) = requests.next().await {
                let reply = message.reply.unwrap();
                client.publish(reply, "nonsense".into()).await.unwrap();
            }
        });
    }
    assert_eq!(count_instances(&carrier.bus).await, 1);
}

async fn a_directory_is_cached_for_its_maximum_age(carrier: Carrier) {
    let server = Server::new(&carrier.bus)
        .add(OneGreeter)
        .start()
        .await
        .unwrap();
    let directory = carrier.bus.discovery().cached(Duration::from_secs(60));
    let first = directory.snapshot().await.unwrap();
    assert_eq!(first.instances(), server.info());
    assert_eq!(first.of("one.v1.Greeter").count(), 1);
    server.shutdown().await.unwrap();
    let second = cached_snapshot(&directory.clone()).expect("no query is made");
    assert_eq!(second.instances().len(), 1);
    assert_eq!(second.failure(), None);
    directory.clear().await;
    assert_eq!(directory.snapshot().await.unwrap().instances(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_keeps_its_instances_when_a_query_fails() {
    within(Duration::from_secs(60), async {
        let mut nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let _server = Server::new(&bus).add(OneGreeter).start().await.unwrap();
        let directory = bus.discovery().cached(Duration::from_millis(1));
        assert_eq!(directory.snapshot().await.unwrap().instances().len(), 1);
        nats.kill().unwrap();
        let outdated = loop {
            let snapshot = directory.snapshot().await.unwrap();
            assert_eq!(snapshot.instances().len(), 1);
            // For a time after a failure no query is made. A busy machine can be later than that.
            let is_outdated = snapshot.failure().is_some();
            if is_outdated && cached_snapshot(&directory).is_some() {
                break snapshot;
            }
        };
        assert!(outdated.age() > Duration::from_millis(1));
        let empty = bus.discovery().cached(Duration::from_secs(1));
        let error = empty.snapshot().await.unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::Timeout | ErrorKind::Connect
        ));
        nats.restart().await.unwrap();
        while directory.snapshot().await.unwrap().failure().is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(directory.snapshot().await.unwrap().instances().len(), 1);
    })
    .await;
}
