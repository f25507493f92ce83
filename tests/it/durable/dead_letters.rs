//! Dead letters: events that are undecodable or exhausted, stored with the reason.

use std::time::Duration;

use micro_runtime::jetstream::Durable;
use micro_runtime::{Event as _, Server};
use micro_testkit::within;
use micro_tests::market::Trade;

use super::dead_letter_stream::{DeadLetter, read_dead_letters};
use super::market::{TIMEOUT, market_stream, publish_trades, start_market, trade, trade_id};
use super::recorder::{Outcome, Recorder};

const MS: Duration = Duration::from_millis(1);

/// Checks the dead letters of two events with exhausted attempts, and of an undecodable one.
fn check_dead_letters(letters: &[DeadLetter], undecodable: &str) {
    let rows: Vec<[&str; 6]> = letters
        .iter()
        .map(|letter| {
            ["Sequence", "Subject", "Deliveries", "Code", "Reason", "Id"]
                .map(|name| letter.header(&format!("Micro-Dead-{name}")))
        })
        .collect();
    let (three, four) = (trade_id(3), trade_id(4));
    assert_eq!(
        rows[0],
        [
            "3",
            "evt.market.trade.sim.S3",
            "3",
            "14",
            "no room for 3",
            &three
        ]
    );
    assert_eq!(rows[1][..4], ["4", "evt.market.trade.sim.S4", "3", "13"]);
    assert!(
        rows[1][4].contains("panicked: asked to panic"),
        "{}",
        rows[1][4]
    );
    assert_eq!(rows[1][5], four);
    assert_eq!(rows[2][..4], ["6", undecodable, "1", "3"]);
    assert!(rows[2][4].contains("market.v1.Trade"), "{}", rows[2][4]);
    assert_eq!(letters[2].header("tenant"), "acme");
    assert_eq!(
        (letters[0].number(), &letters[2].payload[..]),
        (3, &b"\xff\xff"[..])
    );
    for letter in letters {
        assert_eq!(letter.header("Micro-Dead-Stream"), "MARKET");
        assert_eq!(letter.header("Micro-Dead-Consumer"), "recorder");
        assert!(letter.header("Micro-Dead-Time").parse::<u64>().unwrap() > 1_600_000_000_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undecodable_and_exhausted_events_become_dead_letters_with_the_reason() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=5).await;
        let undecodable = trade(6).subject().unwrap();
        bus.publish_raw(&undecodable, &b"\xff\xff"[..])
            .header("tenant", "acme")
            .await
            .unwrap();
        publish_trades(&bus, 7..=50).await;
        let recorder = Recorder::new(|trade, _| match trade.number {
            3 => Outcome::Fail,
            4 => Outcome::Panic,
            _ => Outcome::Succeed,
        });
        let durable = Durable::named("recorder")
            .backoff([200 * MS])
            .max_attempts(3)
            .dead_letter();
        let server = Server::new(&bus)
            .subscribe::<Trade>(recorder.clone(), durable)
            .start()
            .await
            .unwrap();
        let mut letters = read_dead_letters(&bus, "dlq.MARKET.recorder", 3).await;
        letters.sort_by_key(|letter| letter.header("Micro-Dead-Sequence").to_owned());
        check_dead_letters(&letters, &undecodable);
        // The other events were not delayed, and no event is redelivered after its dead letter.
        let others = recorder
            .attempts()
            .into_iter()
            .filter(|attempt| !matches!(attempt.number, 3 | 4));
        let first_retry = recorder.attempts_of(3)[1].at;
        assert!(others.map(|attempt| attempt.at).all(|at| at < first_retry));
        let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
        let stream = jetstream.get_stream("MARKET").await.unwrap();
        // The last acknowledgments may not have reached the nats-server yet.
        while stream
            .consumer_info("recorder")
            .await
            .unwrap()
            .num_ack_pending
            > 0
        {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            (recorder.attempts_of(3).len(), recorder.attempts_of(4).len()),
            (3, 3)
        );
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_subject_can_be_set_and_gets_the_prefix() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let bus = bus.with_prefix("staging").unwrap();
        bus.declare(&market_stream()).await.unwrap();
        bus.publish_raw(trade(1).subject().unwrap(), &b"\xff"[..])
            .await
            .unwrap();
        let server = Server::new(&bus)
            .subscribe::<Trade>(Recorder::succeeding(), Durable::named("a").dead_letter())
            .subscribe::<Trade>(
                Recorder::succeeding(),
                Durable::named("b").dead_letter_to("dead.b"),
            )
            .start()
            .await
            .unwrap();
        for subject in ["staging.dlq.staging-MARKET.a", "staging.dead.b"] {
            assert_eq!(
                read_dead_letters(&bus, subject, 1).await[0].payload,
                &b"\xff"[..]
            );
        }
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_no_handler_finishes_becomes_a_dead_letter() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, [1]).await;
        let durable = || Durable::named("recorder").max_attempts(2).dead_letter();
        for _ in 0..2 {
            let recorder = Recorder::new(|_, _| Outcome::SucceedAfter(TIMEOUT));
            let server = Server::new(&bus)
                .grace(Duration::ZERO)
                .subscribe::<Trade>(recorder.clone(), durable())
                .start()
                .await
                .unwrap();
            recorder
                .wait_for(|recorder| !recorder.attempts().is_empty())
                .await;
            server.shutdown().await.unwrap();
        }
        let recorder = Recorder::succeeding();
        let server = Server::new(&bus)
            .subscribe::<Trade>(recorder.clone(), durable())
            .start()
            .await
            .unwrap();
        let letters = read_dead_letters(&bus, "dlq.MARKET.recorder", 1).await;
        assert_eq!(letters[0].header("Micro-Dead-Deliveries"), "3");
        assert!(
            letters[0]
                .header("Micro-Dead-Reason")
                .contains("without an outcome")
        );
        assert!(recorder.attempts().is_empty());
        server.shutdown().await.unwrap();
    })
    .await;
}
