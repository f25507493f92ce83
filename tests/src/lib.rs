//! The crates seen from outside: generated services, and a handler that does what tests ask for.

mod behaving;
mod mirror;
mod scripted;

pub use behaving::Behaving;
pub use mirror::Mirroring;
pub use scripted::{AFTER_DROP, Scripted};

/// The service of the README and of `examples/hello`.
pub mod greeter {
    micro_runtime::include_proto!("greeter.v1");
}

/// A service that does on demand whatever a service may do.
pub mod behavior {
    micro_runtime::include_proto!("behavior.v1");
}

/// One method of each streaming kind, whose handlers do what the messages ask for.
pub mod streams {
    micro_runtime::include_proto!("streams.v1");
}

/// A service that gives back what it gets, in every form that JSON knows.
pub mod json {
    micro_runtime::include_proto!("json.v1");
}

/// One method of each kind.
pub mod shapes {
    micro_runtime::include_proto!("shapes.v1");
}

/// Events, without a service.
pub mod market {
    micro_runtime::include_proto!("market.v1");
}

/// An event whose subjects are those of calls to `behavior`.
pub mod greedy {
    micro_runtime::include_proto!("greedy.v1");
}

/// A service of 200 methods, with descriptors of more than 64 KiB.
pub mod wide {
    micro_runtime::include_proto!("wide.v1");
}

/// The code of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
