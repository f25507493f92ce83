//! Log lines whose rate is bounded: [`LogLimit`], and the task that writes what it has held back.
//!
//! A line that a peer, a handler or load can cause goes through a [`LogLimit`]; `tests/tidy.rs` lists the others.

mod limit;
mod overdue_lines;

pub(crate) use limit::LogLimit;
