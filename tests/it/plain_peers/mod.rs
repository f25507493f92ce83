//! Services and callers that know NATS alone, in Rust and in Python: how they fail, what they may be asked, and how
//! they take what does not fit into one message.

mod failures;
mod large_replies;
mod levels;
mod openings;
mod plain_service;
mod python;
