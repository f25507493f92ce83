//! Descriptors of services, methods and events, as micro-build writes them.

mod event;
mod service;

pub use event::{EventDescriptor, EventField};
pub use service::{Idempotency, MethodDescriptor, MethodKind, ServiceDescriptor};
