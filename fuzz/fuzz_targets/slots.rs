//! Fuzz target: arbitrary steps on the table of reply slots. `steps` has the model that the table must match.
#![no_main]

#[path = "slots/steps.rs"]
mod steps;

// The module of micro-runtime that the table uses, at the same path as there.
#[path = "../../micro-runtime/src/wire/subject.rs"]
#[allow(
    dead_code,
    unexpected_cfgs,
    reason = "the table uses a part of it, and this crate has other features"
)]
mod subject;
mod wire {
    pub(crate) use crate::subject;
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    steps::run(bytes);
});
