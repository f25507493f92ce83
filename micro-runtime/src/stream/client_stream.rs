//! `ClientStream`: a client-streaming call in progress.

use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::stream::sender::Sender;
use crate::stream::streaming::Streaming;

/// A client-streaming call in progress: many messages out, one reply back.
///
/// Dropping it before [`finish`](Self::finish) cancels the call.
///
/// # Examples
///
/// ```
/// use micro_runtime::Status;
/// use micro_runtime::call::ClientStream;
///
/// async fn sum(mut call: ClientStream<u32, u64>, numbers: &[u32]) -> Result<u64, Status> {
///     for number in numbers {
///         call.send(*number).await?;
///     }
///     call.finish().await
/// }
/// ```
#[must_use = "a call that is dropped is canceled"]
#[derive(Debug)]
pub struct ClientStream<Req, Rep> {
    sender: Sender<Req>,
    reply: Streaming<Rep>,
}

impl<Req, Rep> ClientStream<Req, Rep> {
    pub(crate) fn new(sender: Sender<Req>, reply: Streaming<Rep>) -> Self {
        Self { sender, reply }
    }

    /// Sends a message; as [`Sender::send`]. Cancel safe.
    ///
    /// # Errors
    ///
    /// The status with which the call ended. `CANCELLED` may mean that the handler has replied already, without
    /// reading everything: [`finish`](Self::finish) then returns its reply.
    pub async fn send(&mut self, message: Req) -> Result<(), Status>
    where
        Req: prost::Message,
    {
        self.sender.send(message).await
    }

    /// Waits until the call has ended, in order or not; as [`Sender::closed`].
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Returns whether the server of the call has begun to stop; as [`Sender::is_stopping`].
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.sender.is_stopping()
    }

    /// Returns a future that completes once the server of the call has begun to stop; as [`Sender::stopping`].
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static + use<Req, Rep> {
        self.sender.stopping()
    }

    /// Ends the requests, and waits for the reply.
    ///
    /// # Errors
    ///
    /// The status with which the call ended; `INTERNAL` if the server sent no reply, or more than one.
    pub async fn finish(self) -> Result<Rep, Status> {
        Ok(self.finish_with_metadata().await?.0)
    }

    /// Ends the requests, and waits for the reply; returns it with the headers and trailers of the handler.
    ///
    /// # Errors
    ///
    /// As for [`finish`](Self::finish).
    pub async fn finish_with_metadata(mut self) -> Result<(Rep, Metadata), Status> {
        self.sender.end()?;
        let none = || Status::new(Code::Internal, "the server ended the call without a reply");
        let reply = self.reply.message().await?.ok_or_else(none)?;
        if self.reply.message().await?.is_some() {
            let text = "the server sent more than one reply";
            return Err(Status::new(Code::Internal, text));
        }
        let mut metadata = self.reply.metadata();
        for (name, value) in self.reply.trailers().iter() {
            metadata.append(name, value)?;
        }
        Ok((reply, metadata))
    }
}
