//! `Context`: metadata, deadline, trace and origin of the call or event that a handler runs for.

mod call_end;
mod context;
mod context_headers;
mod deadline_extension;
#[cfg(feature = "jetstream")]
mod delivery;
mod for_test;
mod handler_of_delivery;
mod origin;
mod reply_metadata;
mod stop_signal;
mod time_limit;
mod waits;

pub use context::Context;
pub(crate) use context_headers::ContextHeaders;
#[cfg(feature = "jetstream")]
pub use delivery::Delivery;
pub(crate) use origin::Origin;
pub(crate) use stop_signal::{StopGuard, StopSignal};
pub(crate) use time_limit::{TimeLimit, TimeoutSource, Words};
