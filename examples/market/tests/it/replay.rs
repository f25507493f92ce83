//! A replay of the stream is the database again.

use market::store::Reader;
use micro_testkit::{NatsServer, Process, within};

use crate::world::{LIMIT, PATIENCE, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_into_an_empty_database_gives_an_identical_one() {
    within(LIMIT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let world = World::new(nats.url(), 1);
        let feeds = world.feeds(1_000).await;
        let mut recorder = world.recorder().await;
        world.published(2_000).await;
        // Out of order, and some of it twice.
        recorder.kill().unwrap();
        let _recorders = (world.recorder().await, world.recorder().await);
        world.published(6_000).await;
        world.stop(feeds).await;
        let account = world.settles().await;

        let copy = world.path("copy.db");
        let mut command = world.command("replay");
        command.arg("--db").arg(&copy);
        let mut replay = Process::spawn(command).unwrap();
        assert!(
            replay.wait(PATIENCE).await.unwrap().success(),
            "{}",
            replay.output()
        );

        let original = Reader::open(&world.database())
            .unwrap()
            .fingerprint()
            .unwrap();
        let copied = Reader::open(&copy).unwrap();
        assert_eq!(copied.fingerprint().unwrap(), original);
        assert_eq!(copied.rows().unwrap(), account.recorded);
        let said = format!("replayed {} events: {original}", account.recorded);
        assert!(replay.output().contains(&said), "{}", replay.output());
    })
    .await;
}
