//! Waiting for a condition that nothing notifies about.

use std::time::Duration;

use micro_testkit::within;
use micro_tests::behavior::{BehaviorClient, Blob};

/// Waits until `condition` is true, for at most 20 s.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await; // sleep: polling interval
        }
    };
    within(Duration::from_secs(20), met).await;
}

/// Calls until one call succeeds, for at most 20 s: then client and server are connected.
pub(crate) async fn wait_until_served(client: &BehaviorClient) {
    let attempt = || {
        client
            .echo(Blob::default())
            .timeout(Duration::from_millis(500))
    };
    let succeeded = async { while attempt().await.is_err() {} };
    within(Duration::from_secs(20), succeeded).await;
}
