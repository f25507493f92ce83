//! The contracts that the cases implement, few and small since trybuild compiles them again.

/// The service of the README and of `examples/hello`.
pub mod greeter {
    micro_runtime::include_proto!("greeter.v1");
}

/// A service with one method of each kind.
pub mod shapes {
    micro_runtime::include_proto!("shapes.v1");
}

/// Events, without a service.
pub mod market {
    micro_runtime::include_proto!("market.v1");
}
