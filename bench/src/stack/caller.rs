//! The client that each stack implements.

use std::any::Any;
use std::future::Future;

use crate::failure::Result;
use crate::load::{LoadCounter, Window};

/// Both ends of an open stream, which stays open until it is dropped.
pub(crate) type IdleStream = Box<dyn Any + Send>;

/// A client as programs keep it: cheap to clone, with one connection.
pub(crate) trait Caller: Clone + Send + Sync + 'static {
    /// Sends bytes and receives as many.
    fn unary(&self, data: Vec<u8>) -> impl Future<Output = Result<usize>> + Send;

    /// The same with one header, which a call within a call has.
    fn with_header(&self, data: Vec<u8>) -> impl Future<Output = Result<usize>> + Send;

    /// A call whose messages need no allocation of their own.
    fn swap(&self, left: u64) -> impl Future<Output = Result<u64>> + Send;

    /// Reads one stream of messages until the window is over.
    fn download(
        &self,
        bytes: usize,
        window: Window,
    ) -> impl Future<Output = Result<LoadCounter>> + Send;

    /// Writes one stream of messages until the window is over.
    fn upload(
        &self,
        bytes: usize,
        window: Window,
    ) -> impl Future<Output = Result<LoadCounter>> + Send;

    /// Sends without waiting and reads the messages that come back.
    fn exchange(
        &self,
        bytes: usize,
        window: Window,
    ) -> impl Future<Output = Result<LoadCounter>> + Send;

    /// Sends a message on a stream, waits for it to come back, and again.
    fn ping_pong(
        &self,
        bytes: usize,
        window: Window,
    ) -> impl Future<Output = Result<LoadCounter>> + Send;

    /// Publishes events until the window is over, no faster than they are handled.
    fn publish(
        &self,
        bytes: usize,
        window: Window,
    ) -> impl Future<Output = Result<LoadCounter>> + Send;

    /// Publishes durable events until the window is over.
    fn store(
        &self,
        bytes: usize,
        window: Window,
    ) -> impl Future<Output = Result<LoadCounter>> + Send;

    /// Consumes stored events until the window is over or none is left.
    fn consume(
        &self,
        bytes: usize,
        window: Window,
    ) -> impl Future<Output = Result<LoadCounter>> + Send;

    /// Opens a bidirectional stream that has carried one message.
    fn idle_stream(&self) -> impl Future<Output = Result<IdleStream>> + Send;
}
