//! The stacks that are compared. Each serves `bench.v1.Echo` and calls it the way its users would.

pub(crate) mod durable;
pub(crate) mod events;
pub(crate) mod hand;
pub(crate) mod micro;
pub(crate) mod tonic;

use std::any::Any;
use std::fmt;
use std::future::Future;

use clap::ValueEnum;

use crate::Result;
use crate::load::{Count, Window};

/// Whose code carries the calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Stack {
    /// This project, over NATS
    Micro,
    /// Written by hand on async-nats, with prost; serves in its loop, which is the fastest way
    AsyncNats,
    /// The same, with a task for each request, as one must when handlers wait
    AsyncNatsSpawned,
    /// gRPC, without a broker
    Tonic,
}

/// What keeps a stream open.
pub(crate) type Idle = Box<dyn Any + Send>;

/// A client, as a program would keep it: cheap to clone, one connection behind it.
pub(crate) trait Caller: Clone + Send + Sync + 'static {
    /// Sends bytes and receives as many.
    fn unary(&self, data: Vec<u8>) -> impl Future<Output = Result<usize>> + Send;

    /// The same with one header, as a call within a call has.
    fn with_header(&self, data: Vec<u8>) -> impl Future<Output = Result<usize>> + Send;

    /// A call whose messages need no allocation of their own.
    fn swap(&self, left: u64) -> impl Future<Output = Result<u64>> + Send;

    /// Reads one stream of messages through the window.
    fn download(&self, bytes: usize, window: Window) -> impl Future<Output = Result<Count>> + Send;

    /// Writes one stream of messages through the window.
    fn upload(&self, bytes: usize, window: Window) -> impl Future<Output = Result<Count>> + Send;

    /// Sends as fast as it goes and reads what comes back.
    fn exchange(&self, bytes: usize, window: Window) -> impl Future<Output = Result<Count>> + Send;

    /// Sends a message on a stream, waits for it to come back, and again.
    fn ping_pong(&self, bytes: usize, window: Window)
    -> impl Future<Output = Result<Count>> + Send;

    /// Publishes events through the window, no faster than they are read.
    fn publish(&self, bytes: usize, window: Window) -> impl Future<Output = Result<Count>> + Send;

    /// Stores events through the window.
    fn store(&self, bytes: usize, window: Window) -> impl Future<Output = Result<Count>> + Send;

    /// Reads what is stored, until the window ends or nothing is left.
    fn consume(&self, bytes: usize, window: Window) -> impl Future<Output = Result<Count>> + Send;

    /// Opens a stream both ways that has carried a message, and leaves it alone.
    fn idle_stream(&self) -> impl Future<Output = Result<Idle>> + Send;
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
