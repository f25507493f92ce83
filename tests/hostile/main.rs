//! Hostile peers at a server in a process of its own: what they take is bounded and nothing of them stays, even if they
//! send as fast as one core does; other callers notice little of up to 10,000 messages and 50 MB a second. More than
//! that fills what nats-server keeps for the connection of the server, behind which everything waits.
//! `HOSTILE_SECONDS` (20) is the time of each.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "the figures of the tests")]

mod attacks;
mod peer;
mod streams;
mod target;

use std::env;
use std::fmt;
use std::time::Duration;

use micro_testkit::{NatsServer, within};

use attacks::Attack;
use peer::{Pace, Peer};
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

/// What other callers get during an attack.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Every call succeeds, and soon.
    Service,
    /// Nothing: the threads of the server are blocked by its handlers.
    Nothing,
}

/// How an attack is made, and on what.
#[derive(Clone, Copy, Debug)]
struct Setup {
    pace: Pace,
    /// Whether the server has separate connections.
    is_separate: bool,
}

const SETUPS: [Setup; 3] = [
    Setup {
        pace: Pace::Moderate,
        is_separate: false,
    },
    Setup {
        pace: Pace::FlatOut,
        is_separate: false,
    },
    Setup {
        pace: Pace::FlatOut,
        is_separate: true,
    },
];

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = match self.is_separate {
            true => "separate connections",
            false => "one connection",
        };
        write!(f, "{:?}, {connections}", self.pace)
    }
}

/// Defines the table of attacks: the name, which is that of the function, and what other callers get.
macro_rules! rows {
    ($($module:ident::$name:ident, $expected:ident;)*) => {
        [$((
            stringify!($name),
            (|peer| Box::pin($module::$name(peer))) as Attack,
            Expected::$expected,
        )),*]
    };
}

/// Attacks a server in each way, `HOSTILE_ROW` alone if it is set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow hostile-peers"]
async fn hostile_peers_take_no_more_than_the_limits() {
    let rows = rows! {
        attacks::short_deadlines, Service;
        attacks::calls_one_at_a_time, Service;
        attacks::waiting_calls, Service;
        attacks::forged_inboxes, Service;
        attacks::offers_that_are_not_taken, Service;
        attacks::much_metadata, Service;
        attacks::much_baggage, Service;
        attacks::garbage, Service;
        attacks::forged_cancellations, Service;
        attacks::large_protobuf, Service;
        attacks::large_json, Service;
        streams::absent_streams, Service;
        streams::unread_streams, Service;
        streams::unfinished_requests, Service;
        streams::endless_windows, Service;
        streams::forged_frames, Service;
        attacks::requests_of_1_mib_at_blocked_threads, Nothing;
    };
    let only = env::var("HOSTILE_ROW").ok();
    let is_known = |only| rows.iter().any(|(name, ..)| name == only);
    assert!(only.as_ref().is_none_or(is_known), "no row {only:?}");
    let mut flaws = Vec::new();
    for (name, attack, expected) in rows {
        if only.as_ref().is_none_or(|only| only == name) {
            for setup in SETUPS {
                let row = check(name, attack, setup, expected);
                flaws.extend(within(attack_time() + SPARE, row).await);
            }
        }
    }
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}

/// Attacks a server, and returns what exceeds the limits.
async fn check(name: &str, attack: Attack, setup: Setup, expected: Expected) -> Vec<String> {
    let nats = NatsServer::start().await.unwrap();
    let Setup { pace, is_separate } = setup;
    let target = Target::start(&nats, is_separate).await;
    let start = target.holdings().await;
    let memory = target.reset_peak();
    let peer = Peer::start(&nats, attack, pace, attack_time());
    let calls = target.call_until(peer.ended()).await;
    let sent = peer.join();
    let recovery = target.wait_for(&start, MAX_RECOVERY).await;
    let growth = target.peak().saturating_sub(memory);
    let (p99, longest, failed) = (calls.p99(), calls.longest(), calls.failures.len());
    println!(
        "{name}, {setup}: {sent} sent; {} calls of another, {failed} failed, p99 {p99:.1?}, longest {longest:.1?}; \
         memory + {} MiB; back after {recovery:.1?}",
        calls.made,
        growth >> 20,
    );
    let mut flaws = Vec::new();
    if growth > MAX_GROWTH {
        flaws.push(format!("{name}, {setup}: {growth} bytes more"));
    }
    if expected == Expected::Service && pace == Pace::Moderate {
        if let Some(failure) = calls.failures.first() {
            flaws.push(format!("{name}, {setup}: {failed} failed, as {failure}"));
        }
        if p99 > MAX_P99 {
            flaws.push(format!("{name}, {setup}: p99 {p99:?}"));
        }
    }
    if recovery > MAX_RECOVERY {
        let now = target.holdings().await;
        flaws.push(format!(
            "{name}, {setup}: not back at {start:?}, but {now:?}"
        ));
    }
    flaws
}
