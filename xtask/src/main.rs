//! The project's chores: `cargo xtask --help` lists them.
#![expect(clippy::print_stdout, reason = "a command line tool prints")]
#![expect(clippy::print_stderr, reason = "a command line tool prints")]

mod against;
mod arguments;
mod cargo;
mod chores;
mod failure;
mod suites;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Chore};
use crate::suites::Selection;

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Nats => chores::nats(),
        Chore::Test { slow, .. } if !slow.is_empty() => suites::run(&Selection::Slow(slow)),
        Chore::Test { full, args, .. } => {
            let is_full = full;
            suites::run(&Selection::Tiers { is_full, args })
        }
        Chore::Lint => chores::lint(),
        Chore::Bench(bench) => chores::bench(&bench),
        Chore::ProtoDir => chores::proto_dir(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
