//! Messages that async-nats cannot parse, each of which costs the connection that it comes on: as requests and events,
//! as replies, and stored in a stream.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use micro_runtime::Bus;
use micro_testkit::{NatsServer, within};
use micro_tests::behavior::{BehaviorClient, Blob};
use micro_tests::market::Trade;

use super::attack::{
    Attacked, CallLoad, EventLoad, check_lost_alone, losses, until_lost, until_whole,
};
use super::raw_client::{MALFORMED, RawConnection};
use super::{LIMIT, connect};
use crate::durable::market::publish_trades;
use crate::durable::recorder::Recorder;
use crate::log_lines::{LogLine, LogLines};

/// Longer than a test takes.
const NO_REDELIVERY: Duration = Duration::from_secs(300);
/// Pause between two messages of an attack: 20 a second.
const ATTACK_INTERVAL: Duration = Duration::from_millis(50);
/// Duration of an attack.
const ATTACK: Duration = Duration::from_secs(4);

async fn start_nats() -> NatsServer {
    NatsServer::builder().jetstream().start().await.unwrap()
}

/// Each kind to a method, and one to each kind of subject.
#[tokio::test]
async fn a_malformed_message_costs_the_connection_of_its_subject_alone() {
    within(LIMIT, async {
        let (log, _guard) = LogLines::start();
        let nats = start_nats().await;
        let bus = connect(nats.url()).await;
        let attacked = Attacked::start(&nats, bus, NO_REDELIVERY).await;
        let bus = &attacked.bus;
        let mut events = bus.subscribe_raw("evt.any").open().await.unwrap();
        let _watch = bus.discovery().watch().open().await.unwrap();
        let calls = CallLoad::start(attacked.outgoing());
        let stored = EventLoad::start(&attacked.others);
        let mut raw = RawConnection::connect(&nats).await;
        let (method, any) = (attacked.served("Echo"), MALFORMED[0]);
        let kinds = MALFORMED.map(|malformed| (method.clone(), malformed));
        let id = &attacked.server.instances()[0];
        let subjects = [
            attacked.served("_i.<id>.Echo"),
            attacked.served("_i._all.Echo"),
            attacked.served("_health"),
            attacked.served("_schema"),
            format!("$SRV.INFO.behavior-v1-Behavior.{id}"),
            "$SRV._EVENT.behavior-v1-Behavior.x".to_owned(),
            "evt.any".to_owned(),
        ];
        for (subject, malformed) in kinds.into_iter().chain(subjects.map(|one| (one, any))) {
            let losing = until_lost(&log, "serving", async || {
                raw.publish(&subject, malformed).await;
            });
            let text = format!("{malformed:?} to {subject} costs no connection");
            assert!(
                tokio::time::timeout(LIMIT / 4, losing).await.is_ok(),
                "{text}"
            );
        }
        calls.end_whole("to others").await;
        stored.end_whole(&attacked.recorder).await;
        check_lost_alone(&log, "serving");
        // The subscription has lasted over all of it.
        until_whole(&attacked).await;
        attacked.others.publish_raw("evt.any", "new").await.unwrap();
        assert_eq!(events.next().await.unwrap().payload, "new");
        attacked.shut_down().await;
    })
    .await;
}

#[tokio::test]
async fn twenty_malformed_requests_a_second_leave_calls_and_durable_consuming_whole() {
    within(LIMIT, async {
        let (log, _guard) = LogLines::start();
        let nats = start_nats().await;
        let bus = connect(nats.url()).await;
        let attacked = Attacked::start(&nats, bus, NO_REDELIVERY).await;
        let calls = CallLoad::start(attacked.outgoing());
        let stored = EventLoad::start(&attacked.others);
        attack(&nats, &attacked, ATTACK).await;
        calls.end_whole("to others").await;
        stored.end_whole(&attacked.recorder).await;
        check_lost_alone(&log, "serving");
        check_cuts(&log, &attacked, "serving");
        until_whole(&attacked).await;
        attacked.shut_down().await;
    })
    .await;
}

/// The option exists for this: with one connection the same attack costs the calls of the process.
#[tokio::test]
async fn twenty_malformed_requests_a_second_fail_calls_on_one_connection() {
    within(LIMIT, async {
        let nats = start_nats().await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        let attacked = Attacked::start(&nats, bus, NO_REDELIVERY).await;
        let calls = CallLoad::start(attacked.outgoing());
        attack(&nats, &attacked, ATTACK).await;
        let (count, failures) = calls.end().await;
        println!("one connection: {count} calls, {} failed", failures.len());
        assert!(!failures.is_empty(), "of {count} calls");
        until_whole(&attacked).await;
    })
    .await;
}

/// Checks that each loss of the connection with this role is counted as a cut, and that the log names it.
fn check_cuts(log: &LogLines, attacked: &Attacked, role: &str) {
    let losses = losses(log, role);
    assert!(losses >= 5, "{losses} losses");
    // The last one counts once the connection is back.
    let counted = losses as u64 - 1..=losses as u64;
    assert!(counted.contains(&attacked.cuts()), "{}", attacked.cuts());
    let cut = |line: &LogLine| {
        line.text
            .contains("the connection is cut off again and again")
    };
    let lines = log.matching(cut);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let named = format!("connection=\"{role}\"");
    assert!(lines[0].text.contains(&named), "{lines:?}");
}

/// Sends malformed requests to a method of the process, 20 a second.
pub(super) async fn attack(nats: &NatsServer, attacked: &Attacked, duration: Duration) {
    let mut raw = RawConnection::connect(nats).await;
    let method = attacked.served("Echo");
    let mut interval = tokio::time::interval(ATTACK_INTERVAL);
    let ends = Instant::now() + duration;
    for malformed in MALFORMED.into_iter().cycle() {
        if Instant::now() > ends {
            break;
        }
        interval.tick().await;
        raw.publish(&method, malformed).await;
    }
}

#[tokio::test]
async fn malformed_replies_leave_serving_and_durable_consuming_whole() {
    within(LIMIT, async {
        let (log, _guard) = LogLines::start();
        let nats = start_nats().await;
        let bus = connect(nats.url()).await;
        let attacked = Attacked::start(&nats, bus, NO_REDELIVERY).await;
        let calls = CallLoad::start(attacked.incoming());
        let stored = EventLoad::start(&attacked.others);
        attack_by_replies(&nats, &attacked, ATTACK_INTERVAL, ATTACK).await;
        calls.end_whole("of others").await;
        stored.end_whole(&attacked.recorder).await;
        check_lost_alone(&log, "calling");
        check_cuts(&log, &attacked, "calling");
        until_whole(&attacked).await;
        attacked.shut_down().await;
    })
    .await;
}

/// Has the process call a service that replies with something malformed, once in each interval.
pub(super) async fn attack_by_replies(
    nats: &NatsServer,
    attacked: &Attacked,
    interval: Duration,
    duration: Duration,
) {
    let mut raw = RawConnection::connect(nats).await;
    raw.subscribe("bad.behavior.v1.Behavior.Echo").await;
    let bus = attacked.bus.clone().with_prefix("bad").unwrap();
    let client: BehaviorClient = bus.client();
    let attack = async {
        let mut interval = tokio::time::interval(interval);
        let ends = Instant::now() + duration;
        while Instant::now() < ends {
            interval.tick().await;
            let call = client.echo(Blob::default()).no_retry();
            call.timeout(LIMIT).await.unwrap_err();
        }
    };
    tokio::select! {
        () = raw.respond() => {}
        () = attack => {}
    }
}

/// Each costs the consuming connection once, by a durable consumer and by a replay.
#[tokio::test]
async fn malformed_stored_events_leave_serving_and_calling_whole() {
    within(LIMIT, async {
        const EVENTS: u64 = 20;
        let (log, _guard) = LogLines::start();
        let nats = start_nats().await;
        let bus = connect(nats.url()).await;
        let attacked = Attacked::start(&nats, bus, Duration::from_secs(1)).await;
        let [outgoing, incoming] = [attacked.outgoing(), attacked.incoming()].map(CallLoad::start);
        let mut raw = RawConnection::connect(&nats).await;
        for malformed in MALFORMED {
            raw.publish("evt.market.trade.sim.S1", malformed).await;
        }
        publish_trades(&attacked.others, 1..=EVENTS).await;
        let all = |recorder: &Recorder| recorder.succeeded().len() as u64 == EVENTS;
        attacked.recorder.wait_for(all).await;
        let replay = loop {
            // It opens between two losses.
            match attacked.bus.replay::<Trade>().open().await {
                Ok(replay) => break replay,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let items = replay.collect::<Vec<_>>().await;
        let (events, failures): (Vec<_>, Vec<_>) = items.into_iter().partition(Result::is_ok);
        assert_eq!(
            (events.len() as u64, failures.len()),
            (EVENTS, MALFORMED.len())
        );
        outgoing.end_whole("to others").await;
        incoming.end_whole("of others").await;
        check_lost_alone(&log, "consuming");
        println!("{} losses", losses(&log, "consuming"));
        attacked.shut_down().await;
    })
    .await;
}
