//! The compared stacks. Each serves `bench.v1.Echo` and calls it in the way of its users.

pub(crate) mod caller;
pub(crate) mod durable;
pub(crate) mod events;
pub(crate) mod hand;
pub(crate) mod micro;
pub(crate) mod tonic;
