//! `cargo xtask test`: the tiers, their suites, and how long each part takes.

mod foreign;
mod run;
mod suite;
mod tiers;
mod timing;
mod tool;

pub(crate) use crate::suites::run::{Selection, run};
