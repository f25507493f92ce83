//! The only door for generated code: everything that micro-build and micro-macros may name.

pub use micro_macros::{service_impl, subscriber_impl};
pub use prost;
pub use prost_types;

pub use crate::client::{
    Client, ServiceClient, bidirectional, client_streaming, server_streaming, unary,
};
pub use crate::dispatch::{Endpoint, RpcOptions, Service};
pub use crate::event::{EventFilter, Fixed, SubjectWriter};

/// Stops the build where micro-build and micro-runtime do not belong together; rustc shows the line
/// with the other version.
pub const fn written_by(version: &str) {
    let (theirs, ours) = (version.as_bytes(), env!("CARGO_PKG_VERSION").as_bytes());
    let mut is_same = theirs.len() == ours.len();
    let mut at = 0;
    while is_same && at < ours.len() {
        is_same = theirs[at] == ours[at];
        at += 1;
    }
    assert!(
        is_same,
        concat!(
            "micro-build of the version in this line generated the code, but micro-runtime is ",
            env!("CARGO_PKG_VERSION"),
            ": use micro-build and micro-runtime of the same version"
        )
    );
}
