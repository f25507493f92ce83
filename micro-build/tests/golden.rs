//! Compares the code for the main kinds of services and events with reviewed golden files.
//!
//! `UPDATE_EXPECT=1 cargo test -p micro-build --test golden` rewrites the files.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::path::Path;

use expect_test::expect_file;

/// Compiles `golden/<name>.proto` and compares the code of its package with `golden/<name>.rs`.
fn check(name: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let out_dir = tempfile::tempdir().expect("a temporary folder");
    let proto = golden.join(format!("{name}.proto"));
    micro_build::Config::new()
        .out_dir(out_dir.path())
        .compile(&[proto], &[&golden])
        .unwrap_or_else(|error| panic!("{error}"));
    let code = fs::read_to_string(out_dir.path().join(format!("golden.{name}.v1.rs"))).unwrap();
    expect_file![golden.join(format!("{name}.rs"))].assert_eq(&code);
    // Packages without services have no embedded descriptors.
    let Ok(descriptors) = fs::read(out_dir.path().join(format!("golden.{name}.v1.fds.bin"))) else {
        return;
    };
    let golden = golden.join(format!("golden.{name}.v1.fds.bin"));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&golden, &descriptors).unwrap();
    }
    assert_eq!(
        fs::read(&golden).unwrap(),
        descriptors,
        "{}",
        golden.display()
    );
}

#[test]
fn code_for_unary_methods_matches_the_golden_file() {
    check("unary");
}

#[test]
fn code_for_streaming_methods_matches_the_golden_file() {
    check("streaming");
}

#[test]
fn code_for_options_matches_the_golden_file() {
    check("options");
}

#[test]
fn code_for_types_matches_the_golden_file() {
    check("types");
}

#[test]
fn code_for_events_matches_the_golden_file() {
    check("events");
}
