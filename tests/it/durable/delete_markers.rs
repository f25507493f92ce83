//! Delete markers of JetStream, which it stores by itself for the last message of a subject that it removes: they are
//! no events.

use std::time::Duration;

use micro_runtime::jetstream::{Durable, StartFrom};
use micro_runtime::{Bus, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::market::Trade;

use super::market::{TIMEOUT, publish_trades};
use super::recorder::Recorder;

/// Number of the trade that is published behind the markers.
const LAST: u64 = 100;

/// Starts a nats-server whose stream `MARKET` has removed its trades, and holds markers alone.
async fn start_with_markers() -> (NatsServer, Bus) {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let config = r#"{"name":"MARKET","subjects":["evt.market.>"],"storage":"memory","retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":500000000,"num_replicas":1,"discard":"old","allow_msg_ttl":true,"allow_rollup_hdrs":true,"subject_delete_marker_ttl":60000000000}"#;
    let client = bus.nats().unwrap().clone();
    let created = client.request("$JS.API.STREAM.CREATE.MARKET", config.into());
    let created = String::from_utf8(created.await.unwrap().payload.to_vec()).unwrap();
    assert!(created.contains("subject_delete_marker_ttl"), "{created}");
    publish_trades(&bus, 1..=10).await;
    let jetstream = async_nats::jetstream::new(client);
    let stream = jetstream.get_stream_no_info("MARKET").await.unwrap();
    loop {
        let info = stream.get_info().await.unwrap();
        // Of seven subjects.
        if info.state.first_sequence > 10 && info.state.last_sequence == 17 {
            return (nats, bus);
        }
        tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polling interval
    }
}

/// Waits until the consumer has acknowledged all that is stored.
async fn wait_for_acknowledgments(bus: &Bus, consumer: &str) {
    let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
    let stream = jetstream.get_stream_no_info("MARKET").await.unwrap();
    loop {
        let info = stream.consumer_info(consumer).await.unwrap();
        if info.num_ack_pending == 0 && info.ack_floor.stream_sequence >= 18 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await; // sleep: polling interval
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_markers_are_acknowledged_and_run_no_handler() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_with_markers().await;
        let (single, batch) = (Recorder::succeeding(), Recorder::succeeding());
        let server = Server::new(&bus)
            .subscribe::<Trade>(single.clone(), Durable::named("single").max_concurrent(2))
            .subscribe_batch::<Trade>(batch.clone(), Durable::named("batch").batch(64))
            .start()
            .await
            .unwrap();
        publish_trades(&bus, [LAST]).await;
        for (recorder, consumer) in [(&single, "single"), (&batch, "batch")] {
            recorder
                .wait_for(|recorder| !recorder.succeeded().is_empty())
                .await;
            wait_for_acknowledgments(&bus, consumer).await;
            let numbers = recorder
                .attempts()
                .into_iter()
                .map(|attempt| attempt.number);
            assert_eq!(numbers.collect::<Vec<_>>(), [LAST]);
        }
        for stats in server.events() {
            assert_eq!((stats.received, stats.undecodable), (1, 0), "{stats:?}");
        }
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_skips_delete_markers() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_with_markers().await;
        let replay = bus.replay::<Trade>().start_from(StartFrom::First);
        let mut replay = replay.open().await.unwrap();
        assert!(replay.next().await.is_none(), "it ends behind the markers");
    })
    .await;
}
