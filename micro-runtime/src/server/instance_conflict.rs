//! Looks for another instance with the id of one that is about to start.

use std::time::Duration;

use futures_util::future::join_all;

use crate::server::start_context::StartContext;

/// Maximum time of the query. Without such an instance NATS replies at once, unless a monitor receives the query.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// Warns of each of these instances, by service and id, that runs already. They are those whose ids are set: a random
/// one is used once.
///
/// It is no error: in a deploy the old process may stop only after the new one has started. Without the permission to
/// ask, nothing is warned of.
pub(super) async fn warn_of_live_holders(start: &StartContext, instances: &[(&str, String)]) {
    let discovery = start.bus.discovery().prefix(start.srv_prefix.as_str());
    let queries = instances.iter().map(async |(service, id)| {
        let query = discovery.ping().of(service).instance(id.as_str());
        if let Ok(holders) = query.max_wait(MAX_WAIT).await
            && !holders.is_empty()
        {
            tracing::warn!(
                service,
                id,
                "another instance of this id runs: calls of the instance run at both, once each; give each process an id \
                 of its own, or stop the other one first"
            );
        }
    });
    join_all(queries).await;
}
