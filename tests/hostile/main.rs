//! Hostile peers, each at most one core, at a server in a process of its own: what they take is bounded, other callers
//! notice little, and nothing of them stays. `cargo xtask test --slow hostile-peers`; `HOSTILE_SECONDS` (20) is the time
//! of each.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "the figures of the tests")]

mod attacks;
mod peer;
mod streams;
mod target;

use std::env;
use std::time::Duration;

use micro_testkit::{NatsServer, within};

use attacks::Attack;
use peer::Peer;
use target::Target;

/// Memory that the server may take above what it has at its start: its budget, and 32 MiB.
const MAX_GROWTH: u64 = (256 + 32) * 1024 * 1024;
/// Limit of another caller's p99.
const MAX_P99: Duration = Duration::from_millis(100);
/// Time in which everything of a peer that has left is given back.
const MAX_RECOVERY: Duration = Duration::from_secs(5);
/// Time that a row may take besides its attack.
const SPARE: Duration = Duration::from_secs(90);

/// Returns the time of each attack.
fn attack_time() -> Duration {
    let seconds = env::var("HOSTILE_SECONDS").map_or(20, |seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds)
}

/// Attacks a server, and checks what it takes and what other callers notice.
async fn check(name: &str, attack: Attack, expects: Expected) {
    within(attack_time() + SPARE, async {
        let nats = NatsServer::start().await.unwrap();
        let target = Target::start(&nats).await;
        let start = target.holdings().await;
        let memory = target.reset_peak();
        let peer = Peer::start(&nats, attack, attack_time());
        let calls = target.call_until(peer.ended()).await;
        let sent = peer.join();
        let recovery = target.wait_for(&start, MAX_RECOVERY).await;
        let growth = target.peak().saturating_sub(memory);
        println!(
            "{name}: {sent} sent; {} calls of another, {} failed, p99 {:.1?}, longest {:.1?}; memory + {} MiB; back after {recovery:.1?}",
            calls.made,
            calls.failures.len(),
            calls.p99(),
            calls.longest(),
            growth >> 20,
        );
        assert!(growth <= MAX_GROWTH, "{name}: {growth} bytes more");
        if expects == Expected::Service {
            let failures = calls.failures.first();
            assert!(calls.failures.is_empty(), "{name}: {} failed, as {failures:?}", calls.failures.len());
            assert!(calls.p99() < MAX_P99, "{name}: p99 {:?}", calls.p99());
        }
        assert!(recovery <= MAX_RECOVERY, "{name}: not back at {start:?}: {:?}", target.holdings().await);
    })
    .await;
}

/// What other callers get during an attack.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Every call succeeds, and soon.
    Service,
    /// Nothing: the threads of the server are blocked by its handlers.
    Nothing,
}

/// Defines a test for each attack: its name, the function, and what other callers get.
macro_rules! attacks {
    ($($name:ident: $attack:path, $expected:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "slow: cargo xtask test --slow hostile-peers"]
        async fn $name() {
            check(stringify!($name), |peer| Box::pin($attack(peer)), Expected::$expected).await;
        }
    )*};
}

attacks! {
    short_deadlines: attacks::short_deadlines, Service;
    calls_one_at_a_time: attacks::calls_one_at_a_time, Service;
    waiting_calls: attacks::waiting_calls, Service;
    forged_inboxes: attacks::forged_inboxes, Service;
    offers_that_are_not_taken: attacks::offers_that_are_not_taken, Service;
    much_metadata: attacks::much_metadata, Service;
    much_baggage: attacks::much_baggage, Service;
    garbage: attacks::garbage, Service;
    forged_cancellations: attacks::forged_cancellations, Service;
    large_protobuf: attacks::large_protobuf, Service;
    large_json: attacks::large_json, Service;
    absent_streams: streams::absent_streams, Service;
    unread_streams: streams::unread_streams, Service;
    unfinished_requests: streams::unfinished_requests, Service;
    endless_windows: streams::endless_windows, Service;
    forged_frames: streams::forged_frames, Service;
    requests_of_1_mib_at_blocked_threads: attacks::requests_of_1_mib_at_blocked_threads, Nothing;
}
