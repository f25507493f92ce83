//! Measures micro beside its peers: `cargo xtask bench`. One program has every role: the driver of the
//! run, the servers, and the clients that put load on them.
#![expect(clippy::print_stdout, reason = "a command line tool prints")]
#![expect(clippy::print_stderr, reason = "a command line tool prints")]

mod arguments;
mod check;
mod child;
mod client;
mod contender;
mod cpu;
mod echo;
mod failure;
mod generation;
mod heap;
mod load;
mod machine;
mod memory;
mod processes;
mod quartiles;
mod report;
mod run;
mod scenario;
mod serve;
mod stack;
mod suite;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Role};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.role {
        None => run::run(&arguments.options).await,
        Some(Role::Serve(target)) => serve::serve(&target).await,
        Some(Role::Call(target)) => client::run(&target).await,
        Some(Role::Memory {
            metric,
            target,
            calls,
        }) => memory::measure(metric, &target, calls).await,
        Some(Role::Generate(target)) => generation::measure(target.stack),
        Some(Role::Check(target)) => check::measure(target.stack),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
