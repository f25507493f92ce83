//! `Sender`: the sending half of a streaming call at its caller.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::channel::Channel;
use crate::stream::machine::dropped;
use crate::wire;

/// Maximum length in bytes of a message that is encoded under the stream's lock. A longer one is encoded before, so
/// that the task that reads the inbox, and with it every call of the connection, does not wait for it.
const MAX_LEN_ENCODED_UNDER_LOCK: usize = 1024;

/// The sending half of a bidirectional call at its caller.
///
/// Dropping it before [`finish`](Self::finish) cancels the call: the server must not take the messages sent so far
/// for all of them.
///
/// # Examples
///
/// ```
/// use micro_runtime::{Sender, Status, Streaming};
///
/// /// Sends one question at a time, and waits for its reply before the next.
/// async fn converse(
///     mut questions: Sender<String>,
///     mut replies: Streaming<String>,
/// ) -> Result<Vec<String>, Status> {
///     let mut found = Vec::new();
///     for question in ["name", "age"] {
///         questions.send(question.to_owned()).await?;
///         found.extend(replies.message().await?);
///     }
///     questions.finish().await?;
///     Ok(found)
/// }
/// ```
#[must_use = "a sender that is dropped cancels its call"]
pub struct Sender<M> {
    channel: Arc<Channel>,
    is_finished: bool,
    messages: PhantomData<fn(M)>,
}

impl<M> Sender<M> {
    pub(crate) fn new(channel: Arc<Channel>) -> Self {
        Self {
            channel,
            is_finished: false,
            messages: PhantomData,
        }
    }

    /// Sends a message. Waits while the server has granted no credit: the messages before are as many as its
    /// [`StreamOptions`](crate::StreamOptions) allow, and were not read yet.
    ///
    /// When it returns, the message may still be on its way. Cancel safe: if the future is dropped, the message
    /// was not sent. A caller that only sends, and reads no replies, waits for ever once both windows are full.
    ///
    /// # Errors
    ///
    /// The status with which the call ended; `CANCELLED` if the server ended it in order and takes no more.
    pub async fn send(&mut self, message: M) -> Result<(), Status>
    where
        M: prost::Message,
    {
        let length = message.encoded_len();
        let mut encoded = (length > MAX_LEN_ENCODED_UNDER_LOCK).then(|| wire::encode(&message));
        poll_fn(|cx| self.channel.poll_send(cx, &message, length, &mut encoded)).await
    }

    /// Sends an encoded message; as [`send`](Self::send).
    #[cfg(feature = "json")]
    pub(crate) async fn send_encoded(&mut self, message: bytes::Bytes) -> Result<(), Status> {
        let length = message.len();
        let mut encoded = Some(message);
        poll_fn(|cx| self.channel.poll_send(cx, &(), length, &mut encoded)).await
    }

    /// Ends the requests in order. The server may go on sending.
    ///
    /// # Errors
    ///
    /// The status with which the call has failed already.
    #[expect(
        clippy::unused_async,
        reason = "may wait for the end to be sent one day"
    )]
    pub async fn finish(mut self) -> Result<(), Status> {
        self.end()
    }

    /// Waits until the call has ended, in order or not: for a sender that has nothing to send for a while, and would
    /// otherwise notice the end only with its next message.
    pub async fn closed(&self) {
        self.channel.ended().await;
    }

    /// Returns whether the server of the call has begun to stop, as [`Streaming::is_stopping`] does.
    ///
    /// [`Streaming::is_stopping`]: crate::Streaming::is_stopping
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.channel.is_stopping()
    }

    /// Returns a future that completes once the server of the call has begun to stop; as [`Streaming::stopping`].
    ///
    /// [`Streaming::stopping`]: crate::Streaming::stopping
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static + use<M> {
        Arc::clone(&self.channel).stopping()
    }

    /// Ends the requests, without consuming the sender.
    pub(super) fn end(&mut self) -> Result<(), Status> {
        self.is_finished = true;
        self.channel.finish(None, Metadata::new());
        match self.channel.inspect(|machine| machine.end().cloned()) {
            Some(Err(status)) => Err(status),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

impl<M> Drop for Sender<M> {
    fn drop(&mut self) {
        if !self.is_finished {
            let status = dropped("the client dropped its sender before it was finished");
            self.channel.reset(status);
        }
    }
}

impl<M> fmt::Debug for Sender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
