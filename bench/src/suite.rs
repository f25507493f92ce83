//! The list of what is measured.

use crate::scenario::{Better, Metric, Peer, Scenario, Task, Work};
use crate::stack::Stack;

const BY_HAND: Peer = Peer {
    name: "async-nats",
    stack: Stack::AsyncNats,
};
const TONIC: Peer = Peer {
    name: "tonic",
    stack: Stack::Tonic,
};

const RATE: Metric = Metric {
    name: "rate",
    unit: "/s",
    better: Better::Higher,
};
const CPU: Metric = lower("cpu_us_per_call", "us");
const P50: Metric = lower("p50", "us");
const CALLS: &[Metric] = &[RATE, P50, lower("p99", "us"), lower("p99.9", "us"), CPU];

const SIZES: [(&str, usize); 3] = [("16B", 16), ("1KiB", 1024), ("64KiB", 64 * 1024)];

const fn lower(name: &'static str, unit: &'static str) -> Metric {
    Metric {
        name,
        unit,
        better: Better::Lower,
    }
}

/// Everything, in the order in which it runs.
pub(crate) fn all() -> Vec<Scenario> {
    [unary(), nested()].concat()
}

fn unary() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (size, bytes) in SIZES {
        for in_flight in [1, 64, 512] {
            scenarios.push(Scenario {
                bench: format!("unary/{size}/{in_flight}"),
                task: Task::Load(Work::Unary { bytes, in_flight }),
                peers: vec![BY_HAND, TONIC],
                metrics: CALLS,
            });
        }
    }
    scenarios
}

fn nested() -> Vec<Scenario> {
    vec![Scenario {
        bench: "nested/16B/64".to_owned(),
        task: Task::Load(Work::Nested {
            bytes: 16,
            in_flight: 64,
        }),
        peers: vec![BY_HAND, TONIC],
        metrics: CALLS,
    }]
}
