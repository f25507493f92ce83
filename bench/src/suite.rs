//! The list of what is measured.

use crate::arguments::Options;
use crate::scenario::{Better, Direction, Metric, Peer, Scenario, Setup, Task, Work};
use crate::stack::Stack;

const BY_HAND: Peer = Peer {
    name: "async-nats",
    stack: Stack::AsyncNats,
};
const JETSTREAM: Peer = Peer {
    name: "jetstream",
    stack: Stack::AsyncNats,
};
const TONIC: Peer = Peer {
    name: "tonic",
    stack: Stack::Tonic,
};
const TONIC_BUILD: Peer = Peer {
    name: "tonic-prost-build",
    stack: Stack::Tonic,
};

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
/// Of one message there and back.
const LATENCY: &[Metric] = &[P50, lower("p99", "us"), lower("p99.9", "us")];

/// Pairs for what hardly varies and takes long.
const FEW: u32 = 3;

const SIZES: [(&str, usize); 3] = [("16B", 16), ("1KiB", 1024), ("64KiB", 64 * 1024)];

const fn lower(name: &'static str, unit: &'static str) -> Metric {
    Metric {
        name,
        unit,
        better: Better::Lower,
    }
}

/// Everything, in the order in which it runs.
pub(crate) fn all(options: &Options) -> Vec<Scenario> {
    if options.growth {
        return growth();
    }
    let calls = if options.quick { 100_000 } else { 1_000_000 };
    [
        unary(),
        nested(),
        streams(),
        events(),
        memory(calls),
        generation(options),
    ]
    .concat()
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
                most_pairs: u32::MAX,
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
        most_pairs: u32::MAX,
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
                most_pairs: u32::MAX,
            });
        }
    }
    scenarios
}

type OfBytes = fn(usize) -> Work;

fn events() -> Vec<Scenario> {
    let kinds: [(&str, Peer, OfBytes); 3] = [
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
                most_pairs: u32::MAX,
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
        most_pairs: FEW,
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
            most_pairs: u32::MAX,
        },
    ]
}

fn generation(options: &Options) -> Vec<Scenario> {
    let generation = |bench: &str, word: &str, most_pairs| Scenario {
        bench: bench.to_owned(),
        setup: Setup::default(),
        task: Task::Once(vec![word.to_owned()]),
        peers: vec![TONIC_BUILD],
        metrics: SECONDS,
        most_pairs,
    };
    let mut scenarios = vec![generation("generation/200-services", "generate", u32::MAX)];
    // Builds the dependencies of both first, for which a quick run has no time.
    if !options.quick || options.only.is_some() {
        scenarios.push(generation("check/200-services", "check", FEW));
    }
    scenarios
}

/// The same call while one thing grows.
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
        most_pairs: u32::MAX,
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
