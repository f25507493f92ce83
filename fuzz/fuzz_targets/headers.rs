//! Fuzz target: arbitrary bytes as the headers and the payload of a request, a reply and an event.
//! `micro-runtime/src/fuzz/headers.rs` has the invariants.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    micro_runtime::fuzz_headers(bytes);
});
