//! Waiting for a condition that nothing notifies about. A test binary of its own, `observability`, uses it too.

use std::time::Duration;

use micro_testkit::within;

/// Waits until `condition` is true, for at most 20 s.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await; // sleep: polling interval
        }
    };
    within(Duration::from_secs(20), met).await;
}
