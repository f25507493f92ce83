//! Builds, starts and stops servers.

mod checks;
mod event_sources;
mod instance_subscriptions;
mod plan;
mod required_permissions;
mod running;
mod server;
mod start;

pub use running::RunningServer;
pub use server::Server;
