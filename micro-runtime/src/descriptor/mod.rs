//! Descriptors of services, methods and events, as constants that micro-build writes into generated code.
//!
//! They hold what the runtime needs of a .proto: names, kinds and options. The complete contract is
//! [`ServiceDescriptor::file_descriptor_set`].

mod decoded_size;
mod element_sizes;
mod event;
mod request_sizes;
mod service;

pub(crate) use element_sizes::ElementSizes;
pub use event::{EventDescriptor, EventField};
pub(crate) use request_sizes::{RequestSizes, UNCOUNTED_LEN};
pub use service::{Idempotency, MethodDescriptor, MethodKind, ServiceDescriptor};
