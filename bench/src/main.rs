//! Measures micro beside its peers: `cargo xtask bench`. One program plays every part: what drives
//! the run, the servers, the clients that put load on them.
#![expect(clippy::print_stdout, reason = "a command line tool talks")]
#![expect(clippy::print_stderr, reason = "a command line tool talks")]

mod arguments;
mod check;
mod child;
mod cpu;
mod echo;
mod figures;
mod fleet;
mod generation;
mod heap;
mod load;
mod machine;
mod memory;
mod report;
mod run;
mod scenario;
mod serve;
mod stack;
mod suite;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Part};

/// Whatever ends a part of the run: a sentence for the person who asked for it.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T, E = Failure> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.part {
        None => run::run(&arguments.options).await,
        Some(Part::Serve(place)) => serve::serve(&place).await,
        Some(Part::Call(place)) => worker::work(&place).await,
        Some(Part::Memory {
            matter,
            place,
            calls,
        }) => memory::measure(matter, &place, calls).await,
        Some(Part::Generate(place)) => generation::measure(place.stack),
        Some(Part::Check(place)) => check::measure(place.stack),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
