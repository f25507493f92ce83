//! Connections that fail under load: outages, a rolling restart, a slow link, and a soak with faults at random.
//!
//! The slow suites of these names run minutes each. Short forms of them are in the first tier.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "the figures are the result of a run")]

#[path = "../heap/counting_allocator.rs"]
mod counting_allocator;
mod fault;
mod load;
mod network;
mod outages;
mod rolling_restart;
mod slow_link;
mod soak;
mod stop_probe;
