//! Fuzz target: arbitrary steps on the table of reply slots. `steps` has the model that the table must match.
#![no_main]

#[path = "slots/steps.rs"]
mod steps;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    steps::run(bytes);
});
