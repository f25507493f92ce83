//! A replay of the stream gives the rows of the database.

use market::store::Reader;
use micro_testkit::{NatsServer, Process, within};

use crate::fixture::{MarketFixture, PROCESS_TIMEOUT, TEST_TIMEOUT};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_into_an_empty_database_has_the_same_fingerprint() {
    within(TEST_TIMEOUT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let market = MarketFixture::new(nats.url(), 1);
        let feeds = market.start_feeds(1_000).await;
        let mut recorder = market.start_recorder().await;
        market.wait_for_published(2_000).await;
        // The others receive its unacknowledged events again, out of order.
        recorder.kill().unwrap();
        let _recorders = (market.start_recorder().await, market.start_recorder().await);
        market.wait_for_published(6_000).await;
        market.stop_feeds(feeds).await;
        let audit = market.wait_until_recorded().await;

        let copy = market.path("copy.db");
        let mut command = market.command("replay");
        command.arg("--db").arg(&copy);
        let mut replay = Process::spawn(command).unwrap();
        assert!(
            replay.wait(PROCESS_TIMEOUT).await.unwrap().success(),
            "{}",
            replay.output()
        );

        let original = Reader::open(&market.database())
            .unwrap()
            .fingerprint()
            .unwrap();
        let copied = Reader::open(&copy).unwrap();
        assert_eq!(copied.fingerprint().unwrap(), original);
        assert_eq!(copied.rows().unwrap(), audit.recorded);
        let line = format!("replayed {} events: {original}", audit.recorded);
        assert!(replay.output().contains(&line), "{}", replay.output());
    })
    .await;
}
