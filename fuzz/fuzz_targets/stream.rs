//! Fuzz target: arbitrary frames and steps at one end of a stream. `micro-runtime/src/stream/fuzz.rs` has
//! the invariants.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    micro_runtime::fuzz_stream(bytes);
});
