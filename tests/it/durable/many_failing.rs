//! Events that fail for long keep no others from being handled.

use std::time::{Duration, Instant};

use micro_runtime::Server;
use micro_runtime::jetstream::Durable;
use micro_testkit::within;
use micro_tests::market::Trade;

use super::market::{TIMEOUT, publish_trades, start_market};
use super::recorder::{Outcome, Recorder};

const FAILING: u64 = 1_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_behind_many_failing_ones_are_handled_at_once() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=FAILING + 10).await;
        let recorder = Recorder::new(|trade, _| match trade.number > FAILING {
            true => Outcome::Succeed,
            false => Outcome::Fail,
        });
        let durable = Durable::named("recorder").backoff([Duration::from_secs(30)]);
        let began = Instant::now();
        let server = Server::new(&bus).subscribe::<Trade>(recorder.clone(), durable);
        let server = server.grace(Duration::ZERO).start().await.unwrap();
        recorder
            .wait_for(|recorder| recorder.succeeded().len() == 10)
            .await;
        println!("10 events behind {FAILING}: {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(20));
        server.shutdown().await.unwrap();
    })
    .await;
}
