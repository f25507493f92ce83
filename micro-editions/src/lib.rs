//! Converts `.proto` descriptors with an `edition` to proto2 or proto3, for prost and prost-reflect.
//!
//! Neither of them supports editions. This crate is an internal dependency of micro-build and of the
//! JSON support of micro-runtime, and not part of micro's public interface.

mod convert;
mod elements;
mod error;

pub use convert::without_edition;
pub use error::Error;
