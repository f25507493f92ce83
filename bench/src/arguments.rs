//! The command line.
//!
//! [`Role::Serve`], [`Role::Call`] and [`Role::Memory`] are driven by other builds of this program as
//! well (`--against`), earlier and later ones. Their arguments, what they print, and the lines that a
//! client reads (`Work` in `scenario.rs`) stay as they are; new ones may be added.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::contender::Stack;

/// Measures micro beside its peers, in separate processes over a nats-server of its own.
///
/// Every figure is a ratio of pairs that alternate in one run; above 1 means that micro is better.
#[derive(Parser)]
#[command(name = "micro-bench")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

/// The benchmarks that run, how thoroughly, and the format of their results.
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
    /// Compares with micro in another build of this program, instead of its peers
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) against: Option<PathBuf>,
}

/// The work of a child process; without one the process drives the run.
#[derive(Subcommand)]
pub(crate) enum Role {
    /// Serves until standard input ends
    #[command(hide = true)]
    Serve(Target),
    /// Puts load on a server, as requested by lines on standard input
    #[command(hide = true)]
    Call(Target),
    /// Counts what is on the heap
    #[command(hide = true)]
    Memory {
        metric: MemoryMetric,
        #[command(flatten)]
        target: Target,
        /// Number of calls without a reply
        #[arg(long, default_value_t = 1_000_000)]
        calls: u64,
    },
    /// Generates code from a large set of .proto files
    #[command(hide = true)]
    Generate(Target),
    /// Has cargo check what was generated
    #[command(hide = true)]
    Check(Target),
}

/// The measured stack and its address.
#[derive(Args)]
pub(crate) struct Target {
    pub(crate) stack: Stack,
    /// The nats-server; for a tonic client the address of its server
    pub(crate) url: String,
    /// Number of further methods that the server has, each with a subscription of its own
    #[arg(long, default_value_t = 0)]
    pub(crate) more_methods: usize,
}

/// A quantity on the heap.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum MemoryMetric {
    /// Allocations of a call, both sides together
    Allocations,
    /// Bytes of a service that is never called
    IdleService,
    /// Bytes of a stream, on both sides, that carries nothing
    IdleStream,
    /// Bytes that remain after calls without a reply
    Unanswered,
}
