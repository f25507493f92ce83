//! Builds, starts and stops servers.
//!
//! [`Server`] collects services, subscribers and settings. Its start checks them, plans all subscriptions
//! (`service_scope`, `instance_subscriptions`, `event_sources`), makes them, and proves them (`start`).
//! A [`RunningServer`] watches over the permissions that it needs, and stops without losing a message
//! (`stopper`).

mod capture_warning;
mod checks;
mod event_sources;
mod instance_conflict;
mod instance_subscriptions;
mod permission_guard;
mod planned_subscription;
mod required_permissions;
mod running_server;
mod server;
mod service_scope;
mod settings;
mod start;
mod start_context;
mod stop_time;
mod stopper;
mod under_way;

pub use running_server::RunningServer;
pub use server::Server;
