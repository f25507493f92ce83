//! Interface for generated code: everything that micro-build and micro-macros may name, and nothing else.
//!
//! Generated code writes these paths into the user's crate, so a change here is a change of what both generators
//! emit. It is exempt from semantic versioning because [`written_by`] refuses to compile the code of another
//! version. Users have no reason to name this module.

pub use micro_macros::{service_impl, subscriber_impl};
pub use prost;
pub use prost_types;

pub use crate::client::{
    Client, ServiceClient, bidirectional, client_streaming, server_streaming, unary,
};
pub use crate::dispatch::{Endpoint, RpcOptions, Service};
pub use crate::event::{EventFilter, Fixed, SubjectWriter};

/// Fails to compile unless micro-build had this `version`, which must be micro-runtime's own.
///
/// Generated code calls it in a constant, so that rustc reports the line with the version that wrote it, once,
/// in place of dozens of errors about items that do not exist.
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
