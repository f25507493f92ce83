//! `StartContext`: the state and settings that the services of one starting server have in common.

use std::sync::Arc;

use crate::bus::Bus;
use crate::dispatch::{Health, ServerState};
use crate::middleware::Next;

/// State and settings that the services of one starting server have in common.
pub(super) struct StartContext {
    pub(super) bus: Bus,
    pub(super) server: Arc<ServerState>,
    /// Middleware of the server.
    pub(super) layers: Next,
    /// Queue group of services that set none.
    pub(super) queue_group: Option<String>,
    /// Token in place of `$SRV`, or `$SRV` itself.
    pub(super) srv_prefix: String,
    pub(super) health: Arc<Health>,
}
