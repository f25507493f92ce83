//! `StartContext`: the state and settings that the services of one starting server have in common.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::Bus;
use crate::context::StopSignal;
use crate::dispatch::{Callers, Health, ServerState};
use crate::execute::ConcurrencyLimit;
use crate::middleware::Next;
use crate::server::settings::ServerSettings;
use crate::stream::StreamOptions;

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
    /// Stream options for what a service leaves out.
    pub(super) stream_options: StreamOptions,
    pub(super) grace_period: Duration,
}

impl StartContext {
    /// Makes the state of a server; nothing runs yet.
    pub(super) fn new(bus: Bus, settings: ServerSettings) -> Self {
        let server = Arc::new(ServerState {
            serving: Arc::clone(bus.serving()),
            replying: Arc::clone(&bus.connections().replying),
            tasks: TaskTracker::new(),
            threads: TaskTracker::new(),
            stop: StopSignal::default(),
            grace_ended: CancellationToken::new(),
            call_limit: ConcurrencyLimit::new(settings.max_concurrent),
            stream_limit: ConcurrencyLimit::new(settings.max_streams),
            callers: Callers::new(settings.max_streams, settings.memory_budget),
            reply_prefixes: settings.reply_prefixes,
            timeouts: settings.timeouts,
            refused_replies: Arc::default(),
            connections: bus.connections().clone(),
            events: OnceLock::new(),
            unsent_replies: Arc::default(),
            cancellations: Arc::default(),
        });
        Self {
            server,
            layers: settings.layers.stack(),
            queue_group: settings.queue_group,
            srv_prefix: settings.srv_prefix,
            health: Arc::new(Health::new(settings.checks, bus.connections().clone())),
            bus,
            stream_options: settings.stream_options,
            grace_period: settings.grace_period,
        }
    }
}
