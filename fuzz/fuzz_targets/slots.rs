//! Fuzz target: arbitrary steps on the table of reply slots. `steps` has the model that the table must match.
#![no_main]

#[path = "slots/steps.rs"]
mod steps;

// The modules of micro-runtime that the table uses, at the same paths as there.
#[path = "../../micro-runtime/src/wire/reply_token.rs"]
mod reply_token;
#[path = "../../micro-runtime/src/bus/mux/slot.rs"]
#[expect(dead_code, reason = "nothing is refused here")]
mod slot;
#[path = "../../micro-runtime/src/wire/subject.rs"]
#[allow(
    dead_code,
    unexpected_cfgs,
    reason = "the table uses a part of it, and this crate has other features"
)]
mod subject;
mod bus {
    pub(crate) mod mux {
        pub(crate) use crate::slot;
    }
}
mod wire {
    pub(crate) use crate::{reply_token, subject};
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    steps::run(bytes);
});
