//! Stored events whose delivery async-nats cannot parse: each costs the connection, and nothing of it arrives.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use micro_runtime::jetstream::{Durable, StartFrom};
use micro_runtime::{Bus, Reason, RunningServer, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::market::{Trade, TradeFilter};

use super::dead_letter_stream::{DeadLetter, read_dead_letters};
use super::market::{TIMEOUT, market_stream, publish_trades, start_market};
use super::recorder::Recorder;
use crate::log_lines::LogLines;
use crate::separate_connections::raw_client::{MALFORMED, Malformed, RawConnection};
use crate::until::until;

/// Headers without a flaw, in a subject that has one.
const INTACT: Malformed = Malformed::Headers(b"NATS/1.0\r\nkey: value\r\n\r\n");
const SUBJECT: &str = "evt.market.trade.sim.S1";
const SUBJECT_WITH_SPACE: &str = "evt.market.trade.sim.S\u{a0}1";

/// Events that cannot be received: subject, and headers.
fn kinds() -> Vec<(&'static str, Malformed)> {
    let is_kept = |malformed: &Malformed| match malformed {
        // A status is removed when the message is stored, and so is a reply subject: it can be received.
        Malformed::Headers(headers) => !headers.starts_with(b"NATS/1.0 "),
        Malformed::ReplySubject(_) => false,
    };
    let kept = MALFORMED.into_iter().filter(is_kept);
    let kinds = kept.map(|malformed| (SUBJECT, malformed));
    kinds.chain([(SUBJECT_WITH_SPACE, INTACT)]).collect()
}

/// Stores trades, one of each kind behind each; returns their number.
async fn store_all(nats: &NatsServer, bus: &Bus) -> u64 {
    let mut raw = RawConnection::connect(nats).await;
    let kinds = kinds();
    let count = kinds.len() as u64 + 1;
    publish_trades(bus, [1]).await;
    for (number, (subject, malformed)) in (2..).zip(kinds) {
        raw.publish(subject, malformed).await;
        publish_trades(bus, [number]).await;
    }
    count
}

/// Consumes with a server, each by a consumer of its own.
async fn consume<const N: usize>(bus: &Bus, consumers: [(&Recorder, Durable); N]) -> RunningServer {
    let mut server = Server::new(bus);
    for (recorder, durable) in consumers {
        let durable = durable.ack_wait(Duration::from_secs(1));
        server = server.subscribe::<Trade>(recorder.clone(), durable);
    }
    server.start().await.unwrap()
}

/// Checks the letters of all kinds, which lie at every second sequence.
fn check_letters(letters: &[DeadLetter]) {
    for (letter, (number, (subject, malformed))) in letters.iter().zip((1..).zip(kinds())) {
        let sequence = (2 * number).to_string();
        assert_eq!(letter.header("Micro-Dead-Sequence"), sequence);
        assert_eq!(letter.header("Micro-Dead-Subject"), subject);
        assert_eq!(letter.header("Micro-Dead-Code"), "3");
        let reason = letter.header("Micro-Dead-Reason");
        assert!(
            reason.starts_with("its headers cannot be read: "),
            "{reason}"
        );
        let Malformed::Headers(headers) = malformed else {
            panic!("no headers: {malformed:?}");
        };
        let raw = letter.header("Micro-Dead-Raw-Headers");
        assert_eq!(BASE64.decode(raw).unwrap(), headers);
        assert_eq!(&letter.payload[..], b"x");
    }
}

/// Two consumers of one connection: one with dead letters, and one without. Both start while there are such events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durable_consumers_give_up_what_cannot_be_received_and_go_on() {
    within(TIMEOUT, async {
        let (nats, admin) = start_market().await;
        let count = store_all(&nats, &admin).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        let [first, second] = [Recorder::succeeding(), Recorder::succeeding()];
        let consumers = [
            (&first, Durable::named("first")),
            (&second, Durable::named("second").without_dead_letters()),
        ];
        let server = consume(&bus, consumers).await;
        for recorder in [&first, &second] {
            let is_whole = |recorder: &Recorder| recorder.succeeded().len() as u64 == count;
            recorder.wait_for(is_whole).await;
        }
        let given_up = count - 1;
        for index in 0..2 {
            let stats = || server.events().remove(index);
            until(|| stats().given_up == given_up).await;
            assert_eq!(stats().undecodable, given_up);
            let error = stats().last_error.unwrap();
            assert_eq!(error.reason(), Some(Reason::BadHeader), "{error}");
        }
        let letters = usize::try_from(given_up).unwrap();
        check_letters(&read_dead_letters(&admin, "dlq.MARKET.first", letters).await);
        let jetstream = async_nats::jetstream::new(admin.nats().unwrap());
        let stream = jetstream.get_stream("MARKET").await.unwrap();
        for name in ["first", "second"] {
            while stream.consumer_info(name).await.unwrap().num_ack_pending > 0 {
                tokio::task::yield_now().await;
            }
        }
        server.shutdown().await.unwrap();
    })
    .await;
}

/// An event as long as NATS takes, whose letter is longer.
#[tokio::test]
async fn a_letter_that_does_not_fit_is_cut_and_holds_up_no_other() {
    within(TIMEOUT, async {
        let (nats, admin) = start_market().await;
        let mut raw = RawConnection::connect(&nats).await;
        let headers = b"NATS/1.0\r\nx\r\n\r\n";
        let payload = vec![b'x'; 1024 * 1024 - headers.len()];
        raw.publish_with_headers(SUBJECT, headers, &payload).await;
        raw.publish(SUBJECT, MALFORMED[0]).await;
        publish_trades(&admin, [1]).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        let recorder = Recorder::succeeding();
        let first = Durable::named("first").dead_letter();
        let server = consume(&bus, [(&recorder, first)]).await;
        recorder
            .wait_for(|recorder| recorder.succeeded().len() == 1)
            .await;
        until(|| server.events()[0].given_up == 2).await;
        let letters = read_dead_letters(&admin, "dlq.MARKET.first", 2).await;
        assert!(payload.starts_with(&letters[0].payload) && letters[0].payload.len() > 1_000_000);
        let reason = letters[0].header("Micro-Dead-Reason");
        assert!(
            reason.ends_with("of the 1048561 bytes of its payload"),
            "{reason}"
        );
        assert_eq!(&letters[1].payload[..], b"x");
        server.shutdown().await.unwrap();
    })
    .await;
}

/// A subject may have the character that JSON shows in place of what is not UTF-8.
#[tokio::test]
async fn an_event_with_a_replacement_character_in_its_subject_is_handled() {
    within(TIMEOUT, async {
        let (nats, admin) = start_market().await;
        let mut raw = RawConnection::connect(&nats).await;
        raw.publish("evt.market.trade.sim.S\u{fffd}1", INTACT).await;
        raw.publish(SUBJECT, MALFORMED[0]).await;
        publish_trades(&admin, [1]).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        let recorder = Recorder::succeeding();
        let server = consume(&bus, [(&recorder, Durable::named("first").dead_letter())]).await;
        recorder
            .wait_for(|recorder| recorder.succeeded().len() == 1)
            .await;
        until(|| server.events()[0].given_up == 2).await;
        let letters = read_dead_letters(&admin, "dlq.MARKET.first", 2).await;
        // It arrives: its payload is no trade.
        let unreadable = letters.iter().filter(|letter| {
            letter
                .header("Micro-Dead-Reason")
                .contains("cannot be read")
        });
        assert_eq!(unreadable.count(), 1);
        server.shutdown().await.unwrap();
    })
    .await;
}

/// Without the permission to look for it, the log names what is missing.
#[tokio::test]
async fn a_consumer_that_may_not_look_for_malformed_events_logs_it() {
    within(TIMEOUT, async {
        let (log, _guard) = LogLines::start();
        let users = r#"authorization { users = [
            { user: app, password: app, permissions: { publish: { deny: "$JS.API.STREAM.MSG.GET.MARKET" } } }
            { user: admin, password: admin }
        ] }"#;
        let nats = NatsServer::builder().jetstream().config(users);
        let nats = nats.start().await.unwrap();
        let mut raw = RawConnection::connect_as(&nats, "admin").await;
        let bus = Bus::connect(nats.url_as("app", "app")).await.unwrap();
        bus.declare(&market_stream()).await.unwrap();
        let recorder = Recorder::succeeding();
        let _server = consume(&bus, [(&recorder, Durable::named("first"))]).await;
        raw.publish(SUBJECT, MALFORMED[0]).await;
        let text = "cannot look for stored events whose headers cannot be read";
        until(|| !log.matching(|line| line.text.contains(text)).is_empty()).await;
        let lines = log.matching(|line| line.text.contains(text));
        assert!(lines[0].text.contains("$JS.API.STREAM.MSG.GET.MARKET"), "{lines:?}");
    })
    .await;
}

/// Replays to the present end; returns the number of each trade, and `None` for what cannot be received.
async fn replay(bus: &Bus, start: StartFrom, filter: TradeFilter) -> Vec<Option<u64>> {
    let replay = bus.replay::<Trade>().start_from(start).filter(filter);
    let mut replay = replay.open().await.unwrap();
    let mut items = Vec::new();
    while let Some(item) = replay.next().await {
        let number = match item {
            Ok(trade) => Some(trade.number),
            Err(status) => {
                assert_eq!(status.reason(), Some(Reason::BadHeader), "{status}");
                None
            }
        };
        items.push(number);
    }
    items
}

#[tokio::test]
async fn a_replay_reports_what_cannot_be_received_and_goes_on() {
    within(TIMEOUT, async {
        let (nats, admin) = start_market().await;
        let count = store_all(&nats, &admin).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        let items = replay(&bus, StartFrom::First, TradeFilter::new()).await;
        let mut expected = (1..=count).flat_map(|number| [Some(number), None]);
        expected.next_back();
        assert_eq!(items, expected.collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_replay_begins_and_ends_with_what_cannot_be_received() {
    within(TIMEOUT, async {
        let (nats, admin) = start_market().await;
        let mut raw = RawConnection::connect(&nats).await;
        publish_trades(&admin, [1]).await;
        // sleep: the times of the two events must differ by more than the clock skew.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let second = SystemTime::now();
        raw.publish(SUBJECT, MALFORMED[0]).await;
        publish_trades(&admin, [2]).await;
        raw.publish(SUBJECT, MALFORMED[1]).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        let all = TradeFilter::new;
        for start in [StartFrom::Time(second), StartFrom::Sequence(2)] {
            assert_eq!(replay(&bus, start, all()).await, [None, Some(2), None]);
        }
        // Others lie behind the last one that matches.
        publish_trades(&admin, [3]).await;
        let filter = all().venue("sim").symbol("S1");
        let items = replay(&bus, StartFrom::First, filter).await;
        assert_eq!(items, [Some(1), None, None]);
    })
    .await;
}
