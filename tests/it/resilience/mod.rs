//! Calls that always answer: time, overload, retries and middleware, on both carriers alike.

mod deadlines;
mod middleware;
mod overload;
mod retries;
mod rpc;

use std::time::Duration;

use micro_tests::behavior::{Blob, Nap};

fn blob(data: &'static [u8]) -> Blob {
    Blob { data: data.into() }
}

fn nap(milliseconds: u32) -> Nap {
    Nap { milliseconds }
}

/// Waits for something to become true.
async fn until(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    micro_testkit::within(Duration::from_secs(20), met).await;
}
