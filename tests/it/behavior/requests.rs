//! Constructors of requests to the service `behavior.v1.Behavior`.

use micro_tests::behavior::{Blob, SleepRequest};

pub(crate) fn blob(data: &'static [u8]) -> Blob {
    Blob { data: data.into() }
}

/// Request that makes a handler sleep or spin for this long.
pub(crate) fn millis(milliseconds: u32) -> SleepRequest {
    SleepRequest { milliseconds }
}
