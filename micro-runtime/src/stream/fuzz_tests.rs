//! Replays what fuzzing has found; `fuzz/README.md` says how it was found.

use super::*;

#[test]
fn an_end_keeps_its_word_on_every_input_that_was_found() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/stream");
    let mut reached = Reached::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        reached.extend(run(&std::fs::read(&path).unwrap()));
    }
    let outcomes = [
        "answered",
        "ended well",
        "heard nonsense",
        "heard too long a message",
        "heard too much",
        "missed a frame",
        "missed its peer",
        "said RESET",
        "sent",
        "took a message in parts",
        "took messages",
        "was interrupted",
        "was late",
        "was told why",
    ];
    assert!(reached.iter().eq(&outcomes), "{reached:?}");
}
