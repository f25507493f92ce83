//! The `.proto` files that are part of this crate.

use std::path::{Path, PathBuf};

/// Source of `micro/v1/options.proto`.
pub(crate) const OPTIONS_SOURCE: &str = include_str!("../proto/micro/v1/options.proto");

/// Returns the folder that contains `micro/v1/options.proto`, and the other .proto files of the wire.
///
/// Compilers of other languages and editors need it as an include folder; [`compile`](crate::compile)
/// does not. The folder is in the sources of this crate, so the path is valid only on the machine
/// that compiled it.
///
/// # Examples
///
/// ```
/// assert!(micro_build::proto_dir().join("micro/v1/options.proto").is_file());
/// ```
#[must_use]
pub fn proto_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("proto")
}
