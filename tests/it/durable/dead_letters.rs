//! What is given up: stored with the reason, while the others go on.

use std::time::Duration;

use async_nats::HeaderMap;
use futures_util::StreamExt as _;
use micro_runtime::{Bus, Durable, Event as _, Server};
use micro_testkit::within;
use micro_tests::market::Trade;

use super::recorder::{Outcome, Recorder};
use super::{LIMIT, id, market, publish, trade};

const MS: Duration = Duration::from_millis(1);

/// One dead letter.
pub(crate) struct Letter {
    headers: HeaderMap,
    payload: bytes::Bytes,
}

impl Letter {
    pub(crate) fn number(&self) -> u64 {
        let trade: Trade = prost::Message::decode(self.payload.clone()).unwrap();
        trade.number
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.as_str())
    }
}

/// Waits for so many dead letters, and takes them from their stream.
pub(crate) async fn letters(bus: &Bus, subject: &str, count: usize) -> Vec<Letter> {
    let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
    let name = jetstream.stream_by_subject(subject).await.unwrap();
    let stream = jetstream.get_stream(name).await.unwrap();
    let config = async_nats::jetstream::consumer::pull::OrderedConfig {
        filter_subject: subject.to_owned(),
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let messages = consumer.messages().await.unwrap();
    let letters = messages.take(count).map(|message| {
        let message = message.unwrap().message;
        Letter {
            headers: message.headers.unwrap(),
            payload: message.payload,
        }
    });
    letters.collect().await
}

/// Two that used up their attempts, and one that is no event.
fn check_letters(letters: &[Letter], poison: &str) {
    let rows: Vec<[&str; 6]> = letters
        .iter()
        .map(|letter| {
            ["Sequence", "Subject", "Deliveries", "Code", "Reason", "Id"]
                .map(|name| letter.header(&format!("Micro-Dead-{name}")))
        })
        .collect();
    let (three, four) = (id(3), id(4));
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
    assert_eq!(rows[2][..4], ["6", poison, "1", "3"]);
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
async fn poison_and_last_attempts_become_dead_letters_with_the_reason() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        publish(&bus, 1..=5).await;
        let poison = trade(6).subject().unwrap();
        bus.publish_raw(&poison, &b"\xff\xff"[..])
            .header("tenant", "acme")
            .await
            .unwrap();
        publish(&bus, 7..=50).await;
        let recorder = Recorder::new(|trade, _| match trade.number {
            3 => Outcome::Fail,
            4 => Outcome::Panic,
            _ => Outcome::Succeed,
        });
        let durable = Durable::named("recorder")
            .backoff([200 * MS])
            .max_deliver(3)
            .dead_letter();
        let server = Server::new(&bus)
            .subscribe::<Trade>(recorder.clone(), durable)
            .start()
            .await
            .unwrap();
        let mut letters = letters(&bus, "dlq.MARKET.recorder", 3).await;
        letters.sort_by_key(|letter| letter.header("Micro-Dead-Sequence").to_owned());
        check_letters(&letters, &poison);
        // The others were not held up, and nothing comes again.
        let others = recorder
            .seen()
            .into_iter()
            .filter(|seen| !matches!(seen.number, 3 | 4));
        let first_retry = recorder.looks(3)[1].at;
        assert!(others.map(|seen| seen.at).all(|at| at < first_retry));
        let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
        let stream = jetstream.get_stream("MARKET").await.unwrap();
        // What is answered last may still be under way to the server.
        while stream
            .consumer_info("recorder")
            .await
            .unwrap()
            .num_ack_pending
            > 0
        {
            tokio::task::yield_now().await;
        }
        assert_eq!((recorder.looks(3).len(), recorder.looks(4).len()), (3, 3));
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_may_go_elsewhere_and_is_behind_the_prefix() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        let bus = bus.with_prefix("staging").unwrap();
        bus.declare(&super::market_stream()).await.unwrap();
        bus.publish_raw(trade(1).subject().unwrap(), &b"\xff"[..])
            .await
            .unwrap();
        let server = Server::new(&bus)
            .subscribe::<Trade>(Recorder::willing(), Durable::named("a").dead_letter())
            .subscribe::<Trade>(
                Recorder::willing(),
                Durable::named("b").dead_letter_to("dead.b"),
            )
            .start()
            .await
            .unwrap();
        for subject in ["staging.dlq.staging-MARKET.a", "staging.dead.b"] {
            assert_eq!(letters(&bus, subject, 1).await[0].payload, &b"\xff"[..]);
        }
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_nobody_lives_to_answer_is_given_up_too() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        publish(&bus, [1]).await;
        let durable = || Durable::named("recorder").max_deliver(2).dead_letter();
        for _ in 0..2 {
            let recorder = Recorder::new(|_, _| Outcome::SucceedAfter(LIMIT));
            let server = Server::new(&bus)
                .grace(Duration::ZERO)
                .subscribe::<Trade>(recorder.clone(), durable())
                .start()
                .await
                .unwrap();
            recorder.wait_for(|seen| !seen.seen().is_empty()).await;
            server.shutdown().await.unwrap();
        }
        let recorder = Recorder::willing();
        let server = Server::new(&bus)
            .subscribe::<Trade>(recorder.clone(), durable())
            .start()
            .await
            .unwrap();
        let letters = letters(&bus, "dlq.MARKET.recorder", 1).await;
        assert_eq!(letters[0].header("Micro-Dead-Deliveries"), "3");
        assert!(
            letters[0]
                .header("Micro-Dead-Reason")
                .contains("without an outcome")
        );
        assert!(recorder.seen().is_empty());
        server.shutdown().await.unwrap();
    })
    .await;
}
