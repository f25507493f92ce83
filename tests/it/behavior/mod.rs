//! What a call does, on both carriers alike: one suite, two worlds.

mod calls;
mod limits;
mod servers;

use std::time::Duration;

use micro_runtime::{Bus, Context, RunningServer, Server, Status};
use micro_tests::behavior::{BehaviorClient, Blob, Nap};

pub(crate) fn blob(data: &'static [u8]) -> Blob {
    Blob { data: data.into() }
}

pub(crate) fn nap(milliseconds: u32) -> Nap {
    Nap { milliseconds }
}

/// Waits for something to become true.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await; // sleep: between two looks
        }
    };
    micro_testkit::within(Duration::from_secs(20), met).await;
}

#[test]
fn public_types_are_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Bus>();
    check::<Server>();
    check::<RunningServer>();
    check::<BehaviorClient>();
    check::<Context>();
    check::<Status>();
    check::<micro_runtime::Error>();
}
