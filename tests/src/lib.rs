//! Generated services for the integration tests, and handlers that do what a request asks for.

mod behavior_handler;
mod execution_probe;
mod mirror_handler;
mod streams_handler;

pub use behavior_handler::BehaviorHandler;
pub use execution_probe::{BLOCKED_HANDLERS, ExecutionProbe, PanicsOnDrop};
pub use mirror_handler::MirrorHandler;
pub use streams_handler::{ITEMS_AFTER_DROP, StreamsHandler};

/// The service of the README and of `examples/hello`.
pub mod greeter {
    micro_runtime::include_proto!("greeter.v1");
}

/// A unary service that fails, waits, panics or relays as its requests ask for.
pub mod behavior {
    micro_runtime::include_proto!("behavior.v1");
}

/// A service with one method of each streaming kind, whose messages control its handlers.
pub mod streams {
    micro_runtime::include_proto!("streams.v1");
}

/// A service that echoes messages with fields of every JSON form.
pub mod json {
    micro_runtime::include_proto!("json.v1");
}

/// A service that takes messages of many elements.
pub mod elements {
    micro_runtime::include_proto!("elements.v1");
}

/// A service with one method of each kind, without options.
pub mod shapes {
    micro_runtime::include_proto!("shapes.v1");
}

/// Events without a service.
pub mod market {
    micro_runtime::include_proto!("market.v1");
}

/// An event whose subjects overlap the call subjects of `behavior`.
pub mod overlapping {
    micro_runtime::include_proto!("overlapping.v1");
}

/// A service of 200 methods, whose descriptors exceed 64 KiB.
pub mod wide {
    micro_runtime::include_proto!("wide.v1");
}

/// The code of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
