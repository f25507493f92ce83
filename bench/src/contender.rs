//! The contenders of a run: a stack, as one build of this program implements it.

use std::fmt;

use clap::ValueEnum;

/// The code that carries the calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Stack {
    /// This project, over NATS
    Micro,
    /// Written by hand on async-nats, with prost; serves in its loop, which is the fastest way
    AsyncNats,
    /// The same, with a task for each request, which handlers that wait need
    AsyncNatsSpawned,
    /// gRPC, without a broker
    Tonic,
}

/// A stack in one build of this program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Contender {
    pub(crate) build: Build,
    pub(crate) stack: Stack,
}

/// A build of this program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Build {
    /// The one that drives the run.
    This,
    /// The one that `--against` names.
    Other,
}

impl Contender {
    pub(crate) const fn this(stack: Stack) -> Self {
        Self {
            build: Build::This,
            stack,
        }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Micro => "micro",
            Self::AsyncNats => "async-nats",
            Self::AsyncNatsSpawned => "async-nats-spawned",
            Self::Tonic => "tonic",
        })
    }
}
