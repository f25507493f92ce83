//! `PlannedSubscription`: one subscription of a server that is about to start.

use async_nats::Subject;

use crate::dispatch::Route;

/// One subscription of a server that is about to start.
///
/// All are planned and checked before the first is made: a server that cannot start must not take
/// requests for a moment, which its end would leave without a reply.
pub(super) struct PlannedSubscription {
    /// Subject or pattern, with the prefix of the bus.
    pub(super) subject: Subject,
    /// Queue group; `None` for a plain subscription.
    pub(super) queue: Option<String>,
    /// Destination of its messages.
    pub(super) route: Route,
}
