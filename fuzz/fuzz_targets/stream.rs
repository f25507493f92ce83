//! One end of a stream under arbitrary frames and steps; `micro-runtime/src/stream/fuzz.rs` says what
//! must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    micro_runtime::fuzz_stream(bytes);
});
