//! The load under which connections fail: unary calls, streams, core and durable events, from one bus to another.

mod call_kind;
mod call_ledger;
mod control;
mod durable_events;
mod endings;
mod event_publisher;
mod load;
mod progress;
mod streams;
mod unary;

pub(crate) use call_kind::{CallKind, Mix};
pub(crate) use call_ledger::{CallLedger, numbers_in};
pub(crate) use load::{Counts, Figures, Load, Plan, Recovery};
