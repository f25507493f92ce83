//! `cargo xtask bench --against REV`: the working tree and an earlier revision, built and measured side
//! by side.

mod compare;
mod instructions;
mod revision;
mod row;

pub(crate) use crate::against::compare::{Options, compare};
