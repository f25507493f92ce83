//! What one end takes off a stream: pieces of frames, each one message.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;

use crate::status::Status;
use crate::stream::channel::{Channel, Taking};
use crate::stream::frame::{Entries, Piece};
use crate::stream::machine::dropped;
use crate::stream::options::Sums;
use crate::stream::receiving::{Batch, join};

/// Up to this size a message is read where it lies.
const READ_IN_PLACE: usize = 1024;

/// The receiving half of one end.
pub(crate) struct Reader {
    channel: Arc<Channel>,
    entries: Entries,
    /// What was given out since the stream was last told.
    taken: Sums,
    is_over: bool,
    is_client: bool,
}

impl Reader {
    /// Reads as a client, whose call ends with its reader.
    pub(crate) fn client(channel: Arc<Channel>) -> Self {
        Self::new(channel, true)
    }

    /// Reads as a handler, which may want no more messages and go on.
    pub(crate) fn server(channel: Arc<Channel>) -> Self {
        Self::new(channel, false)
    }

    fn new(channel: Arc<Channel>, is_client: bool) -> Self {
        Self {
            channel,
            entries: Entries::default(),
            taken: Sums::default(),
            is_over: false,
            is_client,
        }
    }

    /// The stream, for the half that sends.
    pub(crate) fn shared(&self) -> Arc<Channel> {
        Arc::clone(&self.channel)
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Reads the next message once it is there; `None` after the last.
    pub(crate) fn poll_next<T>(
        &mut self,
        cx: &mut TaskContext<'_>,
        read: impl FnOnce(Piece<'_>) -> T,
    ) -> Poll<Option<Result<T, Status>>> {
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            if let Some(piece) = self.entries.next_piece(READ_IN_PLACE) {
                self.taken.messages += 1;
                self.taken.bytes += piece.len() as u64;
                return Poll::Ready(Some(Ok(read(piece))));
            }
            // A frame that is used up gives its buffer back before the next one is waited for.
            self.entries = Entries::default();
            let taken = std::mem::take(&mut self.taken);
            match ready!(self.channel.poll_take(cx, taken)) {
                Taking::Batch(Batch::Entries(entries)) => self.entries = entries,
                Taking::Batch(Batch::Parts(parts)) => {
                    let message = join(&parts);
                    self.taken.messages += 1;
                    self.taken.bytes += message.len() as u64;
                    return Poll::Ready(Some(Ok(read(Piece::Large(message)))));
                }
                Taking::End(Ok(())) => self.is_over = true,
                Taking::End(Err(status)) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(status)));
                }
            }
        }
    }

    /// The next message as it came; `None` after the last.
    pub(crate) async fn next_bytes(&mut self) -> Result<Option<Bytes>, Status> {
        let read = |piece: Piece<'_>| match piece {
            Piece::Small(bytes) => Bytes::copy_from_slice(bytes),
            Piece::Large(bytes) => bytes,
        };
        poll_fn(|cx| self.poll_next(cx, read)).await.transpose()
    }

    /// A message could not be read, or the stream has failed: nothing more comes.
    pub(crate) fn give_up(&mut self, status: &Status) {
        self.is_over = true;
        if self.is_client {
            self.channel.reset(status.clone());
        } else {
            self.channel.unwant();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if self.is_client {
            self.channel
                .reset(dropped("the client dropped the stream before its end"));
        } else {
            self.channel.unwant();
        }
    }
}
