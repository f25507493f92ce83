//! Replays the inputs found by `fuzz/`: any bytes yield an error or code, and no panic.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use std::fs;
use std::path::Path;

use micro_build::Config;

#[test]
fn every_set_ends_in_code_or_an_error() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/descriptor_set");
    let out_dir = support::folder();
    let mut replayed = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let set = fs::read(entry.unwrap().path()).unwrap();
        let config = Config::new().out_dir(out_dir.path()).include_file("all.rs");
        // Both an error and success are valid results.
        let _ = config.compile_descriptor_set(&set);
        replayed += 1;
    }
    assert!(replayed > 50, "{replayed}");
}
