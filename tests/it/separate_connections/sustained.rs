//! Messages that async-nats cannot parse, for 20 s each: the figures of what goes on beside them, and of what suffers.

use std::time::{Duration, Instant};

use micro_runtime::{Bus, Reason};
use micro_testkit::{NatsServer, within};

use super::attack::{Attacked, CallLoad, CallTimes, EventLoad, until_whole};
use super::connect;
use super::malformed::{attack, attack_by_replies};
use super::raw_client::{MALFORMED, RawConnection};

/// Duration of each attack.
const ATTACK: Duration = Duration::from_secs(20);
/// Timeout of a test.
const LIMIT: Duration = Duration::from_secs(180);
/// Limit of the 99th percentile of what goes on, of a call that fails, and of the time to the end of an attack.
const MAX_P99: Duration = Duration::from_millis(100);
const MAX_FAILURE_TIME: Duration = Duration::from_secs(1);
const MAX_RECOVERY_TIME: Duration = Duration::from_secs(1);
/// Longer than a test takes.
const NO_REDELIVERY: Duration = Duration::from_secs(300);

async fn start(separate: bool, ack_wait: Duration) -> (NatsServer, Attacked) {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let bus = match separate {
        true => connect(nats.url()).await,
        false => Bus::connect(nats.url()).await.unwrap(),
    };
    let attacked = Attacked::start(&nats, bus, ack_wait).await;
    (nats, attacked)
}

fn p99(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let index = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(index).copied().unwrap_or_default()
}

/// Prints the figures of calls; returns the longest time to a failure.
#[expect(clippy::print_stdout, reason = "figures")]
fn show(name: &str, times: &CallTimes) -> Duration {
    let (succeeded, failed) = (times.succeeded.len(), times.failed.len());
    let slowest = times.failed.iter().map(|(time, _)| *time).max();
    let slowest = slowest.unwrap_or_default();
    let p99 = p99(&times.succeeded);
    println!("{name}: {succeeded} calls, p99 {p99:?}; {failed} failed, within {slowest:?}");
    slowest
}

/// Checks calls of which none may suffer.
fn check_whole(name: &str, times: &CallTimes) {
    show(name, times);
    assert!(times.failed.is_empty(), "{name}: {:?}", times.failed);
    assert!(p99(&times.succeeded) < MAX_P99, "{name}");
}

/// Checks the times from the publishing of events to their handlers.
#[expect(clippy::print_stdout, reason = "figures")]
fn check_events(times: &[Duration]) {
    let p99 = p99(times);
    println!("durable events: {}, p99 {p99:?}", times.len());
    assert!(p99 < MAX_P99);
}

/// Waits until the process is served again, and returns how long that takes.
async fn recovery(attacked: &Attacked) -> Duration {
    let ended = Instant::now();
    until_whole(attacked).await;
    ended.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow malformed-headers"]
async fn requests_at_twenty_a_second() {
    within(LIMIT, async {
        let (nats, attacked) = start(true, NO_REDELIVERY).await;
        let calls = CallLoad::start(attacked.outgoing());
        let served = CallLoad::start(attacked.incoming());
        let stored = EventLoad::start(&attacked.others);
        attack(&nats, &attacked, ATTACK).await;
        let recovery = recovery(&attacked).await;
        println!("cuts: {}; served again after {recovery:?}", attacked.cuts());
        check_whole("outgoing", &calls.end_timed().await);
        check_events(&stored.end_whole(&attacked.recorder).await);
        show("attacked service", &served.end_timed().await);
        assert!(recovery < MAX_RECOVERY_TIME);
        assert!(attacked.cuts() > 10);
        attacked.shut_down().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow malformed-headers"]
async fn replies_at_one_and_ten_a_second() {
    for rate in [1, 10] {
        within(LIMIT, async {
            let (nats, attacked) = start(true, NO_REDELIVERY).await;
            let calls = CallLoad::start(attacked.outgoing());
            let served = CallLoad::start(attacked.incoming());
            let stored = EventLoad::start(&attacked.others);
            attack_by_replies(&nats, &attacked, Duration::from_secs(1) / rate, ATTACK).await;
            let recovery = recovery(&attacked).await;
            let cuts = attacked.cuts();
            println!("{rate} a second: {cuts} cuts; all works again after {recovery:?}");
            check_whole("serving", &served.end_timed().await);
            check_events(&stored.end_whole(&attacked.recorder).await);
            let times = calls.end_timed().await;
            let slowest = show("outgoing to others", &times);
            assert!(slowest < MAX_FAILURE_TIME);
            for (_, status) in &times.failed {
                assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
            }
            assert!(cuts > 10);
            attacked.shut_down().await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow malformed-headers"]
async fn stored_events_at_one_a_second() {
    within(LIMIT, async {
        let (nats, attacked) = start(true, Duration::from_secs(2)).await;
        let calls = CallLoad::start(attacked.outgoing());
        let served = CallLoad::start(attacked.incoming());
        let stored = EventLoad::start(&attacked.others);
        let mut raw = RawConnection::connect(&nats).await;
        let mut interval = tokio::time::interval(Duration::from_secs(1));
        for number in 0..ATTACK.as_secs() {
            interval.tick().await;
            let malformed = MALFORMED[usize::try_from(number).unwrap() % 6];
            raw.publish("evt.market.trade.sim.S1", malformed).await;
        }
        check_whole("outgoing", &calls.end_timed().await);
        check_whole("serving", &served.end_timed().await);
        let ended = Instant::now();
        let times = stored.end(&attacked.recorder).await;
        let (rest, p99) = (ended.elapsed(), p99(&times));
        let attempts = times.len();
        println!("durable events: {attempts} attempts, p99 {p99:?}; the last one {rest:?} behind the attack");
        println!("cuts: {}", attacked.cuts());
        attacked.shut_down().await;
    })
    .await;
}

/// What suffers where one connection carries everything; the figures are printed and not checked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow malformed-headers"]
async fn requests_on_one_connection() {
    within(LIMIT, async {
        let (nats, attacked) = start(false, Duration::from_secs(2)).await;
        let calls = CallLoad::start(attacked.outgoing());
        let served = CallLoad::start(attacked.incoming());
        let stored = EventLoad::start(&attacked.others);
        attack(&nats, &attacked, ATTACK).await;
        let recovery = recovery(&attacked).await;
        println!(
            "one connection: {} cuts; all works again after {recovery:?}",
            attacked.cuts()
        );
        let slowest = show("outgoing", &calls.end_timed().await);
        assert!(slowest < MAX_FAILURE_TIME);
        show("attacked service", &served.end_timed().await);
        let times = stored.end(&attacked.recorder).await;
        println!(
            "durable events: {} attempts, p99 {:?}",
            times.len(),
            p99(&times)
        );
        assert!(recovery < MAX_RECOVERY_TIME);
        attacked.shut_down().await;
    })
    .await;
}
