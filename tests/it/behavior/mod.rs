//! Unary calls and the lifecycle of servers, on both carriers.

mod calls;
mod limits;
mod public_types;
pub(crate) mod requests;
mod servers;
