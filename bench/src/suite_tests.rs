//! Unit tests of `suite.rs`.

use std::collections::BTreeSet;

use super::*;

fn options(against: Option<&str>) -> Options {
    Options {
        quick: false,
        json: false,
        only: None,
        pairs: None,
        markdown: None,
        growth: false,
        against: against.map(Into::into),
    }
}

#[test]
fn every_compared_benchmark_exists_and_has_one_peer() {
    let scenarios = all(&options(Some("/other/micro-bench")));
    let names: BTreeSet<&str> = scenarios.iter().map(|one| &*one.bench).collect();
    assert_eq!(names, BTreeSet::from(COMPARED));
    for Scenario { bench, peers, .. } in &scenarios {
        let names: Vec<&str> = peers.iter().map(|peer| peer.name).collect();
        assert_eq!(names, ["before"], "{bench}");
    }
}

#[test]
fn allocations_are_compared() {
    let scenarios = all(&options(Some("/other/micro-bench")));
    let metrics: Vec<&str> = scenarios
        .iter()
        .flat_map(|scenario| scenario.metrics.iter().map(|metric| metric.name))
        .collect();
    assert!(metrics.contains(&"allocations"), "{metrics:?}");
}

#[test]
fn another_build_is_a_peer_in_comparisons_only() {
    for scenario in all(&options(None)) {
        let mut peers = scenario.peers.iter();
        let is_other = peers.any(|peer| peer.contender.build == Build::Other);
        assert!(!is_other, "{}", scenario.bench);
    }
}
