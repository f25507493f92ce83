//! What the command line says.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::memory::Matter;
use crate::stack::Stack;

/// Measures micro beside its peers, in separate processes over a nats-server of its own.
///
/// Every figure is a ratio of pairs that alternate in one run; above 1 means that micro is better.
#[derive(Parser)]
#[command(name = "micro-bench")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
}

/// How much is measured, and who reads the result.
#[derive(Args)]
pub(crate) struct Options {
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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pairs: Option<u32>,
    /// Measures nothing: prints the lines of an earlier --json run as a Markdown table
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// How the cost of a call grows with calls in flight, methods and instances, instead
    #[arg(long)]
    pub(crate) growth: bool,
}

/// The parts that the run gives to processes of their own.
#[derive(Subcommand)]
pub(crate) enum Part {
    /// Serves until standard input ends
    #[command(hide = true)]
    Serve(Place),
    /// Puts load on a server, as lines on standard input say
    #[command(hide = true)]
    Call(Place),
    /// Counts what is on the heap
    #[command(hide = true)]
    Memory {
        matter: Matter,
        #[command(flatten)]
        place: Place,
        /// How many calls nobody answers
        #[arg(long, default_value_t = 1_000_000)]
        calls: u64,
    },
    /// Generates code from a large set of .proto files
    #[command(hide = true)]
    Generate(Place),
    /// Has cargo check what was generated
    #[command(hide = true)]
    Check(Place),
}

/// Which stack, and where.
#[derive(Args)]
pub(crate) struct Place {
    pub(crate) stack: Stack,
    /// The nats-server; for a tonic client the address of its server
    pub(crate) url: String,
    /// How many methods the server has besides, each with a subscription of its own
    #[arg(long, default_value_t = 0)]
    pub(crate) more_methods: usize,
}
