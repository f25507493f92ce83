//! Replays what fuzzing has found for the table of reply slots; `fuzz/README.md` says how it was
//! found. The table's own tests come along with the table.

#[path = "../fuzz/fuzz_targets/slots/steps.rs"]
mod steps;

use std::fs;

use micro_testkit::workspace_root;
use steps::Reached;

/// When the steps are read in another way, the corpus may no longer come to all of these.
const OUTCOMES: [&str; 9] = [
    "closed",
    "failed",
    "late",
    "opened",
    "repeated",
    "replied",
    "stray",
    "used again",
    "woken",
];

#[test]
fn the_slots_keep_their_word_on_every_input() {
    let folder = workspace_root().join("fuzz/corpus/slots");
    let mut reached = Reached::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Shown when a step fails, and then the last one is the input that did it.
        println!("{}", path.display());
        reached.extend(steps::run(&fs::read(path).unwrap()));
    }
    assert!(reached.iter().eq(&OUTCOMES), "{reached:?}");
}
