//! Discovery: instances of services on the bus, found by asking them (ADR-32; docs/PROTOCOL.md, "Discovery").
//!
//! There is no registry: every instance replies for itself, whatever library it is built with if that follows
//! ADR-32, and NATS is the only thing that has to run.
//!
//! | result | method |
//! |---|---|
//! | instances that run, with their endpoints | [`Discovery::list`], [`Discovery::get`] |
//! | round-trip times of the instances | [`Discovery::ping`] |
//! | counts and times of the instances | [`Discovery::stats`] |
//! | instances that start, stop, die and hang, as it happens | [`Discovery::watch`] |
//! | instances for frequent use, asked for only now and then | [`Discovery::cached`] |

mod added_data;
pub(crate) mod date;
mod directory;
#[expect(clippy::module_inception, reason = "the type of its name lives in it")]
mod discovery;
mod invalid_field;
mod lenient;
pub(crate) mod names;
mod nanoseconds;
mod peer;
mod query;
pub(crate) mod records;
mod roster;
mod scope;
mod watch;

#[cfg(feature = "json")]
pub(crate) use query::SealedRecord;

pub use added_data::{CheckOutcome, EndpointData, EventData, InstanceData};
pub use directory::{Directory, Snapshot};
pub use discovery::Discovery;
pub use query::{Pong, Query, Record};
pub use records::{EndpointInfo, EndpointStats, Info, Instance, Labels, Stats};
pub use roster::{Change, Departure};
pub use watch::{Watch, WatchOptions};
