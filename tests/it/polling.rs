//! Waiting for a condition that nothing notifies about.

use std::time::Duration;

/// Waits until `condition` is true, for at most 20 s.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await; // sleep: polling interval
        }
    };
    micro_testkit::within(Duration::from_secs(20), met).await;
}
