//! The `.proto` files that this crate brings along.

use std::path::{Path, PathBuf};

/// What users import as `micro/v1/options.proto`.
pub(crate) const OPTIONS_SOURCE: &str = include_str!("../proto/micro/v1/options.proto");

/// The folder with `micro/v1/options.proto`, for the compilers of other languages and for editors.
/// [`compile`](crate::compile) finds the file without it.
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
