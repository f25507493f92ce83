//! A soak: the load of the outages, with a fault at random each 20 s. Nothing hangs, and nothing grows.
//!
//! Variables of the environment: `SOAK_MINUTES` (10), and `SOAK_SEED`, which repeats the faults of a run.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use micro_testkit::Direction::{ToClient, ToServer};
use micro_testkit::within;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use crate::counting_allocator;
use crate::fault::Fault;
use crate::load::{CallLedger, Counts, Load};
use crate::network::Network;
use crate::network::Side::{Caller, Service};
use crate::outages::{
    MAX_EXCESS, MAX_UNCONFIRMED, PLAN, is_expected_of_call, is_expected_of_stream,
};

/// Time from one fault to the next.
const ROUND: Duration = Duration::from_secs(20);
/// Range of the time that a fault lasts, in milliseconds.
const LASTING: std::ops::Range<u64> = 100..8_000;
/// Limit for one round with its recovery.
const ROUND_LIMIT: Duration = Duration::from_secs(120);
/// Number of rounds at the beginning that are not judged: caches and queues reach their size.
const WARM_UP: usize = 3;
/// Growth that is allowed from the first third of the rounds to the last one, in bytes of the heap.
const MAX_HEAP_GROWTH: usize = 4 * 1024 * 1024;
/// The same for tasks and file descriptors: some belong to a connection that is being made or ended.
const MAX_TASK_GROWTH: usize = 30;
const MAX_FILE_GROWTH: usize = 10;

/// Every fault, equally likely.
const FAULTS: [Fault; 12] = [
    Fault::Away,
    Fault::Frozen,
    Fault::BlackHole(Caller),
    Fault::BlackHole(Service),
    Fault::HalfClosed(Caller, ToServer),
    Fault::HalfClosed(Caller, ToClient),
    Fault::HalfClosed(Service, ToServer),
    Fault::HalfClosed(Service, ToClient),
    Fault::Silent(Caller, ToServer),
    Fault::Silent(Caller, ToClient),
    Fault::Silent(Service, ToServer),
    Fault::Silent(Service, ToClient),
];

/// Resources of the process at the end of a round.
#[derive(Clone, Copy, Debug)]
struct Sample {
    heap: usize,
    tasks: usize,
    files: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow soak"]
async fn faults_at_random() {
    let minutes = number("SOAK_MINUTES").unwrap_or(10);
    let seed = number("SOAK_SEED").unwrap_or_else(|| rand::rng().next_u64());
    println!("SOAK_MINUTES={minutes} SOAK_SEED={seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let ledger = Arc::new(CallLedger::default());
    let mut network = Network::start(&ledger).await;
    let (caller, service) = (
        network.connect(Caller).await,
        network.connect(Service).await,
    );
    let load = Load::start(&caller, &service, &ledger, PLAN).await;
    let ends = Instant::now() + Duration::from_secs(60 * minutes);
    let (mut samples, mut flaws) = (Vec::new(), String::new());
    while Instant::now() < ends {
        let fault = *FAULTS.choose(&mut random).unwrap();
        let lasting = Duration::from_millis(random.random_range(LASTING));
        let round = Instant::now();
        let missing = within(ROUND_LIMIT, suffer(fault, lasting, &mut network, &load)).await;
        tokio::time::sleep_until((round + ROUND).into()).await; // sleep: the time between two faults
        let sample = Sample::take();
        let counts = load.counts();
        println!("{fault} for {lasting:?}: {sample:?}, {}", report(&counts));
        for flaw in missing.into_iter().chain(flaws_of(fault, &counts)) {
            let _ = writeln!(
                flaws,
                "round {}, {fault} for {lasting:?}: {flaw}",
                samples.len()
            );
        }
        samples.push(sample);
        ledger.forget_ended();
        counts.unary.failures.clear();
        counts.streams.endings.clear();
    }
    let figures = load.stop().await;
    println!("{}", figures.report());
    for flaw in figures.flaws().into_iter().chain(growth(&samples)) {
        let _ = writeln!(flaws, "{flaw}");
    }
    assert!(flaws.is_empty(), "SOAK_SEED={seed}\n{flaws}");
}

/// Returns the parts of the load that did not recover from the fault.
async fn suffer(
    fault: Fault,
    lasting: Duration,
    network: &mut Network,
    load: &Load,
) -> Vec<String> {
    fault.begin(network).await;
    tokio::time::sleep(lasting).await; // sleep: the time of the fault
    fault.end(network).await;
    load.reset_progress();
    let recovery = load.recovery(Instant::now()).await;
    let missing = recovery.into_iter().filter(|(_, took)| took.is_none());
    missing
        .map(|(part, _)| format!("{part} never succeeded again"))
        .collect()
}

/// Returns what must not be after any round.
fn flaws_of(fault: Fault, counts: &Counts) -> Vec<String> {
    let late = counts.ledger.late_runs();
    let excess = std::mem::take(&mut *counts.unary.worst_excess.lock().unwrap());
    let mut flaws = Vec::new();
    let is_wrong = counts.unary.wrong() + counts.streams.wrong() + late.repeated > 0;
    if is_wrong || !late.handed_over_late.is_empty() || late.expired > 0 {
        flaws.push(format!("{late:?}, {} wrong replies", counts.unary.wrong()));
    }
    if fault.is_at_caller() && late.bytes > MAX_UNCONFIRMED {
        flaws.push(format!("{} bytes of requests ran late", late.bytes));
    }
    if late.long_finished + late.long_running > 0 {
        flaws.push(format!("late calls were not canceled: {late:?}"));
    }
    let unary = counts.unary.failures.unexpected(is_expected_of_call);
    let streams = counts.streams.endings.unexpected(is_expected_of_stream);
    let events = counts.events.failures.unexpected(is_expected_of_call);
    flaws.extend(unary.into_iter().chain(streams).chain(events));
    if excess > MAX_EXCESS {
        flaws.push(format!("a call ended {excess:?} after its control timer"));
    }
    flaws
}

fn report(counts: &Counts) -> String {
    format!(
        "{} calls, failed: {}; late {:?}; streams ended: {}",
        counts.unary.own(),
        counts.unary.failures,
        counts.ledger.late_runs().began_late,
        counts.streams.endings,
    )
}

impl Sample {
    fn take() -> Self {
        let files = std::fs::read_dir("/proc/self/fd");
        Self {
            heap: counting_allocator::live_bytes(),
            tasks: tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
            files: files.map_or(0, Iterator::count),
        }
    }
}

/// Returns what has grown. The medians of the first and the last third of the rounds are compared: a leak grows with
/// every fault, and one sample may fall into a moment of work.
fn growth(samples: &[Sample]) -> Vec<String> {
    let samples = samples.get(WARM_UP..).unwrap_or_default();
    let third = samples.len() / 3;
    let (first, last) = (&samples[..third], &samples[samples.len() - third..]);
    let [before, after] = [first, last].map(median);
    let mut flaws = Vec::new();
    for (what, before, after, max) in [
        (
            "bytes of the heap",
            before.heap,
            after.heap,
            MAX_HEAP_GROWTH,
        ),
        ("tasks", before.tasks, after.tasks, MAX_TASK_GROWTH),
        (
            "file descriptors",
            before.files,
            after.files,
            MAX_FILE_GROWTH,
        ),
    ] {
        println!("{what}: {before} in the first third, {after} in the last");
        if after > before + max {
            flaws.push(format!("{what} grew from {before} to {after}"));
        }
    }
    flaws
}

/// Returns the median of each figure.
fn median(samples: &[Sample]) -> Sample {
    let of = |value: fn(&Sample) -> usize| {
        let mut values: Vec<usize> = samples.iter().map(value).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Sample {
        heap: of(|sample| sample.heap),
        tasks: of(|sample| sample.tasks),
        files: of(|sample| sample.files),
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap())
}

#[test]
fn growth_is_seen_between_the_first_and_the_last_third() {
    let sample = |tasks| Sample {
        heap: 0,
        tasks,
        files: 0,
    };
    let flat = (0..30).map(|round| sample(100 + round % 7));
    assert!(growth(&flat.collect::<Vec<_>>()).is_empty());
    let leaking = (0..30).map(|round| sample(100 + round * 3));
    assert_eq!(growth(&leaking.collect::<Vec<_>>()).len(), 1);
}
