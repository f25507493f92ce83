//! Discovery: who serves what on the bus, asked of the instances themselves (ADR-32).
//!
//! There is no registry: a service of any library that follows ADR-32 answers for itself, and NATS
//! is the only thing that has to run.
//!
//! | to know | ask |
//! |---|---|
//! | which instances run, and what they serve | [`Discovery::list`], [`Discovery::get`] |
//! | how far away they are | [`Discovery::ping`] |
//! | what they have counted | [`Discovery::stats`] |
//! | who comes, goes and falls silent | [`Discovery::watch`] |
//! | the same again and again, without asking each time | [`Discovery::cached`] |

pub(crate) mod date;
mod directory;
#[expect(clippy::module_inception, reason = "the type of its name lives in it")]
mod discovery;
pub(crate) mod names;
mod query;
pub(crate) mod records;
mod roster;
mod scope;
mod watch;

pub use directory::{Directory, Snapshot};
pub use discovery::Discovery;
pub use query::{Pong, Query, Record};
pub use records::{
    CheckOutcome, EndpointData, EndpointInfo, EndpointStats, Info, Instance, InstanceData, Labels,
    Stats,
};
pub use roster::{Change, Departure};
pub use watch::{Watch, WatchOptions};
