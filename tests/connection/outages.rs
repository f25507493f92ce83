//! Outages under load: nats-server away and frozen, and connections that are silent, black-holed or closed in one
//! direction, at the caller and at the service.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use micro_runtime::{Code, Reason};
use micro_testkit::Direction::{ToClient, ToServer};
use micro_testkit::within;

use crate::fault::Fault;
use crate::load::{CallKind, CallLedger, Figures, Load, Mix, Plan, Recovery};
use crate::network::Side::{Caller, Service};
use crate::network::{Network, Side};
use crate::stop_probe::{GRACE, Stop, StopProbes};

/// Limit for one outage, with the start of everything.
const LIMIT: Duration = Duration::from_secs(180);
/// The 64 callers.
pub(crate) const MIX: Mix = &[
    (CallKind::Plain, 24),
    (CallKind::Large, 8),
    (CallKind::Waiting, 16),
    (CallKind::Expiring, 8),
    (CallKind::Long, 8),
];
/// Load of every outage.
pub(crate) const PLAN: Plan = Plan {
    mix: MIX,
    streams_wait: false,
    replicas: 1,
};
/// Maximum time by which a call may end later than a timer with the same timeout.
pub(crate) const MAX_EXCESS: Duration = Duration::from_millis(50);
/// Maximum number of bytes that may be handed over and not confirmed, and the largest request beyond.
pub(crate) const MAX_UNCONFIRMED: usize = 256 * 1024 + 17 * 1024;
/// Time after an outage in which durable events must be delivered again.
const MAX_DELIVERY_GAP: Duration = Duration::from_secs(5);
/// Time after the beginning of an outage at which the first servers are stopped, and others once it is known.
const NEW_FOR: Duration = Duration::from_millis(100);
const KNOWN_AFTER: Duration = Duration::from_secs(5);
/// Time after the recovery in which long calls that were held up would finish.
const SETTLING_TIME: Duration = Duration::from_millis(3_500);
/// Allowance of a stop beyond its grace period; also for one with nothing under way.
const STOP_ALLOWANCE: Duration = Duration::from_millis(100);

/// Figures of one outage.
struct Outage {
    fault: Fault,
    lasted: Duration,
    recovery: Recovery,
    stops: Vec<Stop>,
    figures: Figures,
}

// The short form of the suite, in the first tier.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_is_away_for_a_moment() {
    expect_all_well(&[(Fault::Away, 200)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_hears_nothing_for_seconds() {
    expect_all_well(&[(Fault::Silent(Caller, ToClient), 4_000)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_of_the_service_is_closed_in_one_direction() {
    expect_all_well(&[(Fault::HalfClosed(Service, ToServer), 0)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow outages"]
async fn nats_is_away() {
    let away = |milliseconds| (Fault::Away, milliseconds);
    expect_all_well(&[away(200), away(2_000), away(20_000)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow outages"]
async fn nats_is_frozen() {
    expect_all_well(&[(Fault::Frozen, 1_500), (Fault::Frozen, 20_000)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow outages"]
async fn a_side_is_black_holed() {
    expect_all_well(&[Caller, Service].map(|side| (Fault::BlackHole(side), 8_000))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow outages"]
async fn a_connection_is_closed_in_one_direction() {
    let of = |side: Side| [ToServer, ToClient].map(|way| (Fault::HalfClosed(side, way), 0));
    expect_all_well(&[of(Caller), of(Service)].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow outages"]
async fn a_connection_is_silent_in_one_direction() {
    let of = |side: Side| [ToServer, ToClient].map(|way| (Fault::Silent(side, way), 8_000));
    expect_all_well(&[of(Caller), of(Service)].concat()).await;
}

/// Runs outages one after another, prints their figures, and checks all of them at the end.
async fn expect_all_well(outages: &[(Fault, u64)]) {
    let mut flaws = String::new();
    for (fault, milliseconds) in outages {
        let lasting = Duration::from_millis(*milliseconds);
        let outage = within(LIMIT, outage(*fault, lasting)).await;
        println!("{}", outage.report());
        for flaw in outage.flaws() {
            let _ = writeln!(flaws, "{fault} for {lasting:?}: {flaw}");
        }
    }
    assert!(flaws.is_empty(), "\n{flaws}");
}

async fn outage(fault: Fault, lasting: Duration) -> Outage {
    let ledger = Arc::new(CallLedger::default());
    let mut network = Network::start(&ledger).await;
    let (caller, service) = tokio::join!(network.connect(Caller), network.connect(Service));
    let load = Load::start(&caller, &service, &ledger, PLAN).await;
    let early = StopProbes::start(&network, "early").await;
    let late = match lasting > KNOWN_AFTER {
        true => Some(StopProbes::start(&network, "late").await),
        false => None,
    };
    tokio::time::sleep(Duration::from_secs(1)).await; // sleep: the load before the fault
    load.reset_progress();
    let begun = Instant::now();
    fault.begin(&mut network).await;
    let stopping = async {
        tokio::time::sleep(NEW_FOR).await; // sleep: while the fault is new
        let mut stops = early.stop().await.to_vec();
        if let Some(late) = late {
            tokio::time::sleep_until((begun + KNOWN_AFTER).into()).await; // sleep: until the fault is known
            stops.extend(late.stop().await);
        }
        stops
    };
    let over = async {
        tokio::time::sleep_until((begun + lasting).into()).await; // sleep: the time of the fault
        fault.end(&mut network).await;
        let ended = Instant::now();
        if !fault.is_over_at_once() {
            load.reset_progress();
        }
        load.recovery(ended).await
    };
    let (stops, recovery) = tokio::join!(stopping, over);
    // Requests that were held up may still run: the handlers of long calls take 3 s, from the last request that was
    // released.
    tokio::time::sleep(SETTLING_TIME).await; // sleep: until nothing of before the fault runs
    let recovery = match fault.is_over_at_once() {
        true => load.longest_gaps().await,
        false => recovery,
    };
    Outage {
        fault,
        lasted: lasting,
        recovery,
        stops,
        figures: load.stop().await,
    }
}

impl Outage {
    /// Returns what is not as it must be.
    fn flaws(&self) -> Vec<String> {
        let mut flaws = self.figures.flaws();
        let late = self.figures.counts.ledger.late_runs();
        if self.fault.is_at_caller() && late.bytes > MAX_UNCONFIRMED {
            flaws.push(format!("{} bytes of requests ran late", late.bytes));
        }
        if late.long_finished + late.long_running > 0 {
            flaws.push(format!("late calls were not canceled: {late:?}"));
        }
        let limits = [
            (
                format!("{:?}", CallKind::Plain),
                self.fault.recovery_limit(),
            ),
            ("durable event".to_owned(), MAX_DELIVERY_GAP),
        ];
        for (part, limit) in limits {
            match self.recovery[&part] {
                Some(took) if took <= limit => {}
                took => flaws.push(format!("{part} after {took:?}, limit {limit:?}")),
            }
        }
        let missing = self.recovery.iter().filter(|(_, took)| took.is_none());
        flaws.extend(missing.map(|(part, _)| format!("{part} never succeeded again")));
        flaws.extend(self.stops.iter().filter_map(Stop::flaw));
        flaws
    }

    fn report(&self) -> String {
        let slowest = self.recovery.iter().max_by_key(|(_, took)| **took);
        let mut report = format!(
            "\n== {} for {:?}\n{}\n   first success {:?} durable {:?} all parts {slowest:?}\n",
            self.fault,
            self.lasted,
            self.figures.report(),
            self.recovery["Plain"],
            self.recovery["durable event"],
        );
        for stop in &self.stops {
            let _ = writeln!(report, "   {stop:?}");
        }
        report
    }
}

impl Figures {
    /// Returns what must not be after any outage.
    pub(crate) fn flaws(&self) -> Vec<String> {
        let counts = &self.counts;
        let late = counts.ledger.late_runs();
        let excess = *counts.unary.worst_excess.lock().unwrap();
        let zeros = [
            ("calls had a wrong reply", counts.unary.wrong()),
            ("calls hung", self.hung),
            ("calls ran twice", late.repeated),
            (
                "requests were sent after their callers were told",
                late.handed_over_late.len(),
            ),
            ("calls that expire ran late", late.expired),
            ("items of streams were wrong", counts.streams.wrong()),
            ("durable events were lost", self.durable.lost),
        ];
        let zeros = zeros.into_iter().filter(|(_, count)| *count > 0);
        let mut flaws: Vec<String> = zeros
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        if excess > MAX_EXCESS {
            flaws.push(format!("a call ended {excess:?} after its control timer"));
        }
        let unary = counts.unary.failures.unexpected(is_expected_of_call);
        let streams = counts.streams.endings.unexpected(is_expected_of_stream);
        let events = counts.events.failures.unexpected(is_expected_of_call);
        flaws.extend(unary.into_iter().chain(streams).chain(events));
        if let Err(error) = &self.stopped {
            flaws.push(format!("the server could not be stopped: {error}"));
        }
        flaws
    }

    pub(crate) fn report(&self) -> String {
        let Self {
            counts,
            hung,
            durable,
            ..
        } = self;
        format!(
            "   calls: {} own, {hung} hung, worst excess {:?}; failed: {}\n   {:?}\n   streams: {} items; ended: {}\n   \
             events: {} of {} received, longest publish {:?}; failed: {}\n   {durable:?}; failed: {}",
            counts.unary.own(),
            counts.unary.worst_excess.lock().unwrap(),
            counts.unary.failures,
            counts.ledger.late_runs(),
            counts.streams.items(),
            counts.streams.endings,
            counts.events.received(),
            counts.events.published(),
            counts.events.longest.lock().unwrap(),
            counts.events.failures,
            counts.durable.failures,
        )
    }
}

impl Stop {
    fn flaw(&self) -> Option<String> {
        let limit = match (self.is_idle, self.was_connected) {
            // Nothing is known yet: NATS is asked, and may reply.
            (true, true) | (false, _) => GRACE + STOP_ALLOWANCE,
            (true, false) => STOP_ALLOWANCE,
        };
        let is_well = self.took <= limit && (self.outcome.is_ok() || !self.is_idle);
        (!is_well).then(|| format!("a stop took more than {limit:?}, or failed: {self:?}"))
    }
}

pub(crate) fn is_expected_of_call(code: Code, reason: Option<Reason>) -> bool {
    match code {
        Code::Unavailable => matches!(reason, Some(Reason::Disconnected | Reason::NoResponders)),
        Code::DeadlineExceeded => reason == Some(Reason::Deadline),
        _ => false,
    }
}

pub(crate) fn is_expected_of_stream(code: Code, reason: Option<Reason>) -> bool {
    let of_peer = matches!(reason, None | Some(Reason::PeerGone | Reason::Dropped));
    is_expected_of_call(code, reason) || (code == Code::Unavailable && of_peer)
}
