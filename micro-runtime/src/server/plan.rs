//! Subscriptions to be made by a start, and the state that they have in common.

use std::sync::Arc;

use async_nats::Subject;

use crate::bus::Bus;
use crate::dispatch::{Health, Route, ServerState};
use crate::middleware::Next;

/// One subscription to be made, and what its requests are for.
pub(super) struct PlannedSubscription {
    pub(super) subject: Subject,
    pub(super) queue: Option<String>,
    pub(super) target: Route,
}

/// What the services of one server have in common.
pub(super) struct StartContext {
    pub(super) bus: Bus,
    pub(super) shared: Arc<ServerState>,
    pub(super) around: Next,
    pub(super) queue_group: Option<String>,
    pub(super) srv_prefix: String,
    pub(super) health: Arc<Health>,
}
