//! The reply slots under arbitrary steps; `steps` says what must hold.
#![no_main]

#[path = "slots/steps.rs"]
mod steps;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    steps::run(bytes);
});
