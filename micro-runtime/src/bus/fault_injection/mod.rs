//! Faults of the in-process carrier on command, so that a test shows what a program does when messages are lost,
//! late, repeated, out of order or forged, when permissions are missing, and when the connection is
//! lost, without a server.
//!
//! | file | responsibility |
//! |---|---|
//! | `rule` | one fault as a value: which messages, how often, what happens to them |
//! | `forgery` | the content of a message that a peer made up |
//! | `injector` | applies the rules to each message that is published; no I/O |
//! | `carrier` | the in-process carrier with an injector |
//! | `faults` | the handle of a test: adds rules, forges messages, disconnects |

mod carrier;
mod faults;
mod forgery;
mod injector;
#[cfg(test)]
mod injector_tests;
mod rule;

pub use faults::Faults;
pub use forgery::Forgery;
pub(super) use injector::Injector;
pub use rule::{ActiveRule, MessageKind, Rule};
