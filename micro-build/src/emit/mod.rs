//! Emits the Rust items of services: one small function per item, absolute paths, and no `use`.

mod client;
mod descriptor;
pub(crate) mod event;
pub(crate) mod include;
mod lints;
mod messages;
mod scope;
mod server;
mod service;
mod table;
mod trait_;

pub(crate) use lints::allow;
pub(crate) use service::service;
