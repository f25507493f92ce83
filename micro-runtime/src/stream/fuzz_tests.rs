//! Replays the corpus of the fuzz target `stream`; `fuzz/README.md` describes how it was made.

use super::*;

#[test]
fn the_invariants_hold_on_every_input_of_the_corpus() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/stream");
    let mut reached = Reached::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        reached.extend(run(&std::fs::read(&path).unwrap()));
    }
    let outcomes = [
        "bad frame",
        "deadline",
        "ended by the peer",
        "ended in order",
        "frame lost",
        "interrupted",
        "message too large",
        "peer gone",
        "replied to PING",
        "sent RESET",
        "sent a message",
        "took a fragmented message",
        "took messages",
        "window exceeded",
    ];
    assert!(reached.iter().eq(&outcomes), "{reached:?}");
}
