//! Restates a file with `edition` in the syntax that prost and prost-reflect know, for micro-build
//! and for the JSON of micro-runtime. No part of micro's interface.

mod elements;
mod error;
mod restate;

pub use error::Error;
pub use restate::without_edition;
