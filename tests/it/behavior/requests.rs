//! Constructors of requests to the service `behavior.v1.Behavior`.

use micro_tests::behavior::{Blob, WaitRequest};

pub(crate) fn blob(data: &'static [u8]) -> Blob {
    Blob { data: data.into() }
}

/// Request that makes a handler wait or spin for this long.
pub(crate) fn millis(milliseconds: u32) -> WaitRequest {
    WaitRequest { milliseconds }
}
