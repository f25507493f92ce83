//! Runs handlers.

mod concurrency_limit;
mod poll_cost;

pub(crate) use concurrency_limit::ConcurrencyLimit;
pub(crate) use poll_cost::{PollCost, PollTimer};
