//! Subscriptions to be made by a start, and the state that they have in common.

use std::sync::Arc;

use async_nats::Subject;

use crate::bus::Bus;
use crate::dispatch::{Health, Shared, Target};
use crate::middleware::Next;

/// One subscription to be made, and what its requests are for.
pub(super) struct Plan {
    pub(super) subject: Subject,
    pub(super) queue: Option<String>,
    pub(super) target: Target,
}

/// What the services of one server have in common.
pub(super) struct World {
    pub(super) bus: Bus,
    pub(super) shared: Arc<Shared>,
    pub(super) around: Next,
    pub(super) queue_group: Option<String>,
    pub(super) srv_prefix: String,
    pub(super) health: Arc<Health>,
}
