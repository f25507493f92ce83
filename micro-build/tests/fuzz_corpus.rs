//! Replays what `fuzz/` has found: any bytes for a `FileDescriptorSet` are an error or code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

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
        // Which of the two it is, does not matter here.
        let _ = config.compile_descriptor_set(&set);
        replayed += 1;
    }
    assert!(replayed > 50, "{replayed}");
}
