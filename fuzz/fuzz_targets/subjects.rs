//! Fuzz target: arbitrary bytes as subjects, patterns, and errors of nats-server.
//! `micro-runtime/src/fuzz/subjects.rs` has the invariants.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    micro_runtime::fuzz_subjects(bytes);
});
