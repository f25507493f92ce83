//! Replays the fuzzing corpus of the table of reply slots, see `fuzz/README.md`. The unit tests of the
//! table are included with it.

#[path = "../fuzz/fuzz_targets/slots/steps.rs"]
mod steps;

// The modules of micro-runtime that the table uses, at the same paths as there.
#[path = "../micro-runtime/src/wire/reply_token.rs"]
mod reply_token;
#[path = "../micro-runtime/src/bus/mux/slot.rs"]
mod slot;
#[path = "../micro-runtime/src/wire/subject.rs"]
#[allow(
    dead_code,
    unexpected_cfgs,
    reason = "the table uses a part of it, and this crate has other features"
)]
mod subject;
mod bus {
    pub(crate) mod mux {
        pub(crate) use crate::slot;
    }
}
mod wire {
    pub(crate) use crate::{reply_token, subject};
}

use std::fs;

use micro_testkit::workspace_root;
use steps::Reached;

/// Outcomes that the corpus reaches. After a change in how steps are read, it may miss some.
const OUTCOMES: [&str; 10] = [
    "closed",
    "failed",
    "forged",
    "late",
    "opened",
    "refused",
    "replied",
    "second reply",
    "stray",
    "woken",
];

#[test]
fn the_reply_table_matches_its_model_on_every_input() {
    let folder = workspace_root().join("fuzz/corpus/slots");
    let mut reached = Reached::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Printed if a step fails; the last line is the input that failed.
        println!("{}", path.display());
        reached.extend(steps::run(&fs::read(path).unwrap()));
    }
    assert!(reached.iter().eq(&OUTCOMES), "{reached:?}");
}
