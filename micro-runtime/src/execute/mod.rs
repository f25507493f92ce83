//! Runs handlers.

mod concurrency_limit;
mod poll_cost;

pub(crate) use concurrency_limit::Gate;
pub(crate) use poll_cost::{Pace, Watch};
