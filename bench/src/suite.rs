//! The list of benchmarks.

use crate::arguments::Options;
use crate::contender::{Build, Contender, Stack};
use crate::scenario::{Better, Direction, Metric, Peer, Scenario, Setup, Task, Work};

const BY_HAND: Peer = Peer {
    name: "async-nats",
    contender: Contender::this(Stack::AsyncNats),
};
const JETSTREAM: Peer = Peer {
    name: "jetstream",
    contender: Contender::this(Stack::AsyncNats),
};
const TONIC: Peer = Peer {
    name: "tonic",
    contender: Contender::this(Stack::Tonic),
};
const TONIC_BUILD: Peer = Peer {
    name: "tonic-prost-build",
    contender: Contender::this(Stack::Tonic),
};
/// Micro in another build of this program.
const BEFORE: Peer = Peer {
    name: "before",
    contender: Contender {
        build: Build::Other,
        stack: Stack::Micro,
    },
};

/// Benchmarks that are compared with another revision.
const COMPARED: [&str; 14] = [
    "unary/16B/1",
    "unary/16B/64",
    "unary/16B/512",
    "unary/1KiB/64",
    "nested/16B/64",
    "server-streaming/16B",
    "server-streaming/1KiB",
    "client-streaming/16B",
    "bidirectional/16B",
    "publish/16B",
    "durable-publish/16B",
    "durable-consume/16B",
    "memory/idle-service",
    "memory/idle-stream",
];

const RATE: Metric = Metric {
    name: "rate",
    unit: "/s",
    better: Better::Higher,
};
const ALLOCATIONS: &[Metric] = &[lower("allocations", "")];
const BYTES: &[Metric] = &[lower("bytes", "B")];
const SECONDS: &[Metric] = &[lower("seconds", "s")];
const CPU: Metric = lower("cpu_us_per_call", "us");
const P50: Metric = lower("p50", "us");
const CALLS: &[Metric] = &[RATE, P50, lower("p99", "us"), lower("p99.9", "us"), CPU];

const STREAM: &[Metric] = &[RATE, CPU];
/// Metrics of a message that is sent and comes back.
const LATENCY: &[Metric] = &[P50, lower("p99", "us"), lower("p99.9", "us")];

/// Maximum number of pairs for metrics that hardly vary and take long.
const FEW_PAIRS: u32 = 3;

const SIZES: [(&str, usize); 3] = [("16B", 16), ("1KiB", 1024), ("64KiB", 64 * 1024)];

const fn lower(name: &'static str, unit: &'static str) -> Metric {
    Metric {
        name,
        unit,
        better: Better::Lower,
    }
}

/// Returns the benchmarks in the order in which they run.
pub(crate) fn all(options: &Options) -> Vec<Scenario> {
    if options.growth {
        return growth();
    }
    let calls = if options.quick { 100_000 } else { 1_000_000 };
    let all = [
        unary(),
        nested(),
        streams(),
        events(),
        memory(calls),
        generation(options),
    ]
    .concat();
    match &options.against {
        Some(_) => compared(all),
        None => all,
    }
}

/// Returns the benchmarks of [`COMPARED`], with [`BEFORE`] as the only peer and as many pairs as asked.
fn compared(all: Vec<Scenario>) -> Vec<Scenario> {
    let compared = all
        .into_iter()
        .filter(|scenario| COMPARED.contains(&&*scenario.bench));
    let against_before = compared.map(|scenario| Scenario {
        peers: vec![BEFORE],
        max_pairs: u32::MAX,
        ..scenario
    });
    against_before.collect()
}

fn unary() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (size, bytes) in SIZES {
        for in_flight in [1, 64, 512] {
            scenarios.push(Scenario {
                bench: format!("unary/{size}/{in_flight}"),
                setup: Setup::default(),
                task: Task::Load(Work::Unary { bytes, in_flight }),
                peers: vec![BY_HAND, TONIC],
                metrics: CALLS,
                max_pairs: u32::MAX,
            });
        }
    }
    scenarios
}

fn nested() -> Vec<Scenario> {
    vec![Scenario {
        bench: "nested/16B/64".to_owned(),
        setup: Setup::default(),
        task: Task::Load(Work::Nested {
            bytes: 16,
            in_flight: 64,
        }),
        peers: vec![BY_HAND, TONIC],
        metrics: CALLS,
        max_pairs: u32::MAX,
    }]
}

fn streams() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (name, direction, metrics) in [
        ("server-streaming", Direction::Server, STREAM),
        ("client-streaming", Direction::Client, STREAM),
        ("bidirectional", Direction::Both, STREAM),
        ("bidirectional", Direction::PingPong, LATENCY),
    ] {
        for (size, bytes) in &SIZES[..2] {
            scenarios.push(Scenario {
                bench: format!("{name}/{size}"),
                setup: Setup::default(),
                task: Task::Load(Work::Stream {
                    bytes: *bytes,
                    direction,
                }),
                peers: vec![TONIC],
                metrics,
                max_pairs: u32::MAX,
            });
        }
    }
    scenarios
}

/// Returns the work for a message size in bytes.
type WorkOfSize = fn(usize) -> Work;

fn events() -> Vec<Scenario> {
    let kinds: [(&str, Peer, WorkOfSize); 3] = [
        ("publish", BY_HAND, |bytes| Work::Publish { bytes }),
        ("durable-publish", JETSTREAM, |bytes| Work::Store { bytes }),
        ("durable-consume", JETSTREAM, |bytes| Work::Consume {
            bytes,
        }),
    ];
    let mut scenarios = Vec::new();
    for (name, peer, work) in kinds {
        for (size, bytes) in SIZES {
            scenarios.push(Scenario {
                bench: format!("{name}/{size}"),
                setup: Setup::default(),
                task: Task::Load(work(bytes)),
                peers: vec![peer],
                metrics: STREAM,
                max_pairs: u32::MAX,
            });
        }
    }
    scenarios
}

fn memory(unanswered: u64) -> Vec<Scenario> {
    let memory = |bench: &str, words: &[&str], peers: &[Peer], metrics| Scenario {
        bench: bench.to_owned(),
        setup: Setup::default(),
        task: Task::Once(
            ["memory"]
                .iter()
                .chain(words)
                .map(|word| (*word).to_owned())
                .collect(),
        ),
        peers: peers.to_vec(),
        metrics,
        max_pairs: FEW_PAIRS,
    };
    let calls = unanswered.to_string();
    vec![
        memory(
            "unary/16B/1",
            &["allocations"],
            &[BY_HAND, TONIC],
            ALLOCATIONS,
        ),
        memory("memory/idle-service", &["idle-service"], &[BY_HAND], BYTES),
        memory("memory/idle-stream", &["idle-stream"], &[TONIC], BYTES),
        memory(
            "memory/unanswered",
            &["unanswered", "--calls", &calls],
            &[BY_HAND],
            BYTES,
        ),
        Scenario {
            bench: "start/ready".to_owned(),
            setup: Setup::default(),
            task: Task::Start,
            peers: vec![BY_HAND, TONIC],
            metrics: SECONDS,
            max_pairs: u32::MAX,
        },
    ]
}

fn generation(options: &Options) -> Vec<Scenario> {
    let generation = |bench: &str, word: &str, max_pairs| Scenario {
        bench: bench.to_owned(),
        setup: Setup::default(),
        task: Task::Once(vec![word.to_owned()]),
        peers: vec![TONIC_BUILD],
        metrics: SECONDS,
        max_pairs,
    };
    let mut scenarios = vec![generation("generation/200-services", "generate", u32::MAX)];
    // The dependencies of both are built first, which takes longer than a quick run.
    if !options.quick || options.only.is_some() {
        scenarios.push(generation("check/200-services", "check", FEW_PAIRS));
    }
    scenarios
}

/// Returns the same call while one quantity grows.
fn growth() -> Vec<Scenario> {
    let point = |bench: String, in_flight, setup| Scenario {
        bench,
        setup,
        task: Task::Load(Work::Unary {
            bytes: 16,
            in_flight,
        }),
        peers: vec![BY_HAND],
        metrics: &[RATE, P50, CPU],
        max_pairs: u32::MAX,
    };
    let mut scenarios = Vec::new();
    for in_flight in [1, 10, 100, 1_000, 10_000] {
        let bench = format!("growth/in-flight/{in_flight}");
        scenarios.push(point(bench, in_flight, Setup::default()));
    }
    for methods in [1, 10, 100, 1_000] {
        let setup = Setup {
            more_methods: methods - 1,
            ..Setup::default()
        };
        scenarios.push(point(format!("growth/methods/{methods}"), 64, setup));
    }
    for instances in [1, 10, 100] {
        let setup = Setup {
            instances,
            ..Setup::default()
        };
        scenarios.push(point(format!("growth/instances/{instances}"), 64, setup));
    }
    scenarios
}

#[cfg(test)]
#[path = "suite_tests.rs"]
mod tests;
