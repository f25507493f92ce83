//! Fuzz target: arbitrary bytes as metadata in headers and in a frame.
//! `micro-runtime/src/fuzz/metadata.rs` has the invariants.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    micro_runtime::fuzz_metadata(bytes);
});
