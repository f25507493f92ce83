//! Waiting until a service is reachable again.

use std::time::Duration;

use micro_testkit::within;
use micro_tests::behavior::{BehaviorClient, Blob};

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
