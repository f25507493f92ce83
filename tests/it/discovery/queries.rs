//! `bus.discovery()`: queries, and the view that outlives a query that fails.

use std::time::{Duration, Instant};

use micro_runtime::{Bus, ErrorKind, Server};
use micro_testkit::{NatsServer, within};

use super::instances;
use super::made::{OneGreeter, OtherGreeter};
use crate::carriers::{Carrier, on_both_carriers};

on_both_carriers! {
    a_question_reaches_who_it_is_for
    somebody_who_answers_nonsense_is_left_out
    a_view_is_kept_while_it_is_young
}

async fn a_question_reaches_who_it_is_for(carrier: Carrier) {
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
    assert_eq!(instances(&carrier.bus).await, 3);
    assert_eq!(
        discovery.ping().of("one.v1.Greeter").await.unwrap().len(),
        2
    );
    let id = &second.instances()[0];
    let begun = Instant::now();
    for query in [
        discovery.get("one.v1.Greeter").instance(id),
        discovery.list().instance(id),
    ] {
        let found = query.await.unwrap();
        assert_eq!(found, second.info()[..1]);
    }
    assert!(
        begun.elapsed() < Duration::from_millis(250),
        "one answer is enough"
    );
    let pongs = discovery.ping().instance(&first.instances()[0]).await;
    let pongs = pongs.unwrap();
    assert!(pongs[0].round_trip > Duration::ZERO);
    assert_eq!(pongs[0].instance.version, "1.0.0");
}

async fn somebody_who_answers_nonsense_is_left_out(carrier: Carrier) {
    let _server = Server::new(&carrier.bus)
        .add(OneGreeter)
        .start()
        .await
        .unwrap();
    if let Some(hand) = super::hand(&carrier).await {
        let mut asked = hand.subscribe("$SRV.PING").await.unwrap();
        hand.flush().await.unwrap();
        tokio::spawn(async move {
            use futures_util::StreamExt as _;
            while let Some(message) = asked.next().await {
                let reply = message.reply.unwrap();
                hand.publish(reply, "nonsense".into()).await.unwrap();
            }
        });
    }
    assert_eq!(instances(&carrier.bus).await, 1);
}

async fn a_view_is_kept_while_it_is_young(carrier: Carrier) {
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
    let begun = Instant::now();
    let second = directory.clone().snapshot().await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_millis(50),
        "nobody was asked"
    );
    assert_eq!(second.instances().len(), 1);
    assert_eq!(second.failure(), None);
    directory.clear().await;
    assert_eq!(directory.snapshot().await.unwrap().instances(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_outlives_a_query_that_fails() {
    within(Duration::from_secs(60), async {
        let mut nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let _server = Server::new(&bus).add(OneGreeter).start().await.unwrap();
        let directory = bus.discovery().cached(Duration::from_millis(1));
        assert_eq!(directory.snapshot().await.unwrap().instances().len(), 1);
        nats.kill().unwrap();
        let late = loop {
            let snapshot = directory.snapshot().await.unwrap();
            assert_eq!(snapshot.instances().len(), 1);
            if snapshot.failure().is_some() {
                break snapshot;
            }
        };
        assert!(late.age() > Duration::from_millis(1));
        let begun = Instant::now();
        directory.snapshot().await.unwrap();
        assert!(
            begun.elapsed() < Duration::from_millis(500),
            "not tried again at once"
        );
        let never = bus.discovery().cached(Duration::from_secs(1));
        let error = never.snapshot().await.unwrap_err();
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
