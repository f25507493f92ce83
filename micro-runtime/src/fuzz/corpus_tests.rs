//! Replays the corpora of the fuzz targets `headers`, `metadata` and `subjects`; `fuzz/README.md` describes how they
//! were made.

use super::*;
use crate::fuzz::cases::Cases;

/// Runs each input of a corpus, and checks which cases they reach.
fn replay(target: &str, run: fn(&[u8]) -> Cases, expected: &[&str]) {
    let folder = format!("{}/../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut reached = Cases::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        reached.extend(run(&std::fs::read(&path).unwrap()));
    }
    assert!(reached.iter().eq(expected), "{reached:#?}");
}

#[test]
fn the_invariants_hold_on_every_input_of_headers() {
    let cases = [
        "a call that can be canceled",
        "a call that has expired",
        "a call with a timeout",
        "a content type that is not served",
        "a delete marker",
        "a failure",
        "a failure with details",
        "a request that is refused",
        "a stream",
        "an offer of a large reply",
        "the address of a large reply",
        "trace headers",
    ];
    replay("headers", headers::run, &cases);
}

#[test]
fn the_invariants_hold_on_every_input_of_metadata() {
    let cases = [
        "an entry that is refused",
        "metadata in a frame",
        "metadata in headers",
        "metadata that is malformed",
        "metadata that is too long",
    ];
    replay("metadata", metadata::run, &cases);
}

#[test]
fn the_invariants_hold_on_every_input_of_subjects() {
    let cases = [
        "a lifecycle event",
        "a malformed subject",
        "a name of ADR-32",
        "a refused message",
        "a refused reply subject",
        "a refused subscription",
        "a refused subscription of a queue group",
        "a reply subject",
        "a revoked subscription",
        "a subject of an instance",
        "a subject of cancellations",
        "a version",
        "another error",
        "patterns that overlap",
        "the subject of an event",
        "too many subscriptions",
    ];
    replay("subjects", subjects::run, &cases);
}
