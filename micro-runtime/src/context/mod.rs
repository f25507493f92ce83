//! `Context`: metadata, deadline, trace and origin of the call or event at hand.

mod context;
#[cfg(feature = "jetstream")]
mod delivery;

pub use context::Context;
pub(crate) use context::Origin;
#[cfg(feature = "jetstream")]
pub use delivery::Delivery;
