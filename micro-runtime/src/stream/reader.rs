//! What one end takes off a stream: pieces of frames, each one message.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;

use crate::status::Status;
use crate::stream::channel::{Channel, Taking};
use crate::stream::frame::Entries;
use crate::stream::lending::{EncodedMessage, FrameSharing};
use crate::stream::machine::dropped;
use crate::stream::options::Credit;
use crate::stream::receiving::{Batch, join};

/// Up to this size a message is read where it lies.
const READ_IN_PLACE: usize = 1024;

/// The receiving half of one end.
pub(crate) struct Reader {
    channel: Arc<Channel>,
    entries: Entries,
    lending: FrameSharing,
    /// What was given out since the stream was last told.
    taken: Credit,
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
            lending: FrameSharing::default(),
            taken: Credit::default(),
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
        read: impl FnOnce(EncodedMessage<'_>) -> T,
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
            self.lending.look();
            let taken = std::mem::take(&mut self.taken);
            match ready!(self.channel.poll_take(cx, taken)) {
                Taking::Batch(Batch::Entries(mut entries)) => {
                    entries.lend(&self.lending);
                    self.entries = entries;
                }
                Taking::Batch(Batch::Parts(parts)) => {
                    let message = join(&parts);
                    self.taken.messages += 1;
                    self.taken.bytes += message.len() as u64;
                    return Poll::Ready(Some(Ok(read(EncodedMessage::Owned(message)))));
                }
                Taking::End(Ok(())) => self.is_over = true,
                Taking::End(Err(status)) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(status)));
                }
            }
        }
    }

    /// The next message as it came; `None` after the last. A small one is copied, since it may be
    /// kept.
    pub(crate) fn poll_bytes(
        &mut self,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Bytes, Status>>> {
        let read = |piece: EncodedMessage<'_>| match piece {
            EncodedMessage::Borrowed(message) => Bytes::copy_from_slice(message.bytes()),
            EncodedMessage::Owned(bytes) => bytes,
        };
        self.poll_next(cx, read)
    }

    /// Waits for the next message as it came.
    pub(crate) async fn next_bytes(&mut self) -> Result<Option<Bytes>, Status> {
        poll_fn(|cx| self.poll_bytes(cx)).await.transpose()
    }

    /// A message could not be read, or the stream has failed: nothing more comes.
    pub(crate) fn give_up(&mut self, status: &Status) {
        self.is_over = true;
        if self.is_client {
            self.channel.reset(status.clone());
        } else {
            self.channel.stop_receiving();
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
            self.channel.stop_receiving();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;
    use std::time::Instant;

    use bytes::Buf as _;

    use super::*;
    use crate::stream::frame::{Body, Control};
    use crate::stream::machine::Machine;
    use crate::stream::options::StreamOptions;
    use crate::stream::peer::Peer;

    const MESSAGES: usize = 1000;

    fn reader(options: StreamOptions) -> Reader {
        let peer = Peer {
            instance: "i".into(),
            stream: "s".into(),
        };
        let (window, now) = (Credit::default(), Instant::now());
        let machine = Machine::server(peer, options.limits(), window, 1 << 20, None, now);
        Reader::server(Channel::new(machine))
    }

    /// A frame of messages arrives.
    fn deliver(reader: &Reader, seq: u64) -> Bytes {
        let mut body = Body::default();
        for _ in 0..MESSAGES {
            body.put_bytes(b"0123456789abcdef");
        }
        let seq = Control {
            seq,
            ..Control::default()
        };
        let frame = body.cut(seq);
        let receive = |machine: &mut Machine| machine.receive(frame.clone(), Instant::now());
        reader.channel.change(receive);
        frame
    }

    /// Reads one frame's messages, keeps `bytes` fields of all, and says whether they lie in it.
    fn keeps_shares(reader: &mut Reader, seq: u64, kept: &mut Vec<Bytes>) -> bool {
        let lies = deliver(reader, seq).as_ptr_range();
        let cx = &mut TaskContext::from_waker(Waker::noop());
        let take = |piece: EncodedMessage<'_>| match piece {
            EncodedMessage::Borrowed(mut message) => message.copy_to_bytes(16),
            EncodedMessage::Owned(_) => panic!("sixteen bytes are large"),
        };
        let mut shares = Vec::new();
        for _ in 0..MESSAGES {
            let Poll::Ready(Some(Ok(message))) = reader.poll_next(cx, take) else {
                panic!("there are fewer messages");
            };
            assert_eq!(message, "0123456789abcdef");
            shares.push(lies.contains(&message.as_ptr()));
            kept.push(message);
        }
        assert!(reader.poll_next(cx, take).is_pending());
        assert!(shares.iter().all(|is_share| *is_share == shares[0]));
        shares[0]
    }

    #[test]
    fn messages_that_keep_what_they_read_keep_no_more_than_one_frame() {
        let mut reader = reader(StreamOptions::default());
        let mut kept = Vec::new();
        assert!(keeps_shares(&mut reader, 1, &mut kept));
        kept.clear();
        // Nobody can tell before the next frame is there.
        assert!(!keeps_shares(&mut reader, 2, &mut kept));
    }

    #[tokio::test]
    async fn the_peer_hears_of_what_was_taken_before_all_is_taken() {
        let mut reader = reader(StreamOptions::default().window_messages(2 * MESSAGES as u32));
        let driver = Arc::clone(&reader.channel);
        // It says what there is to say so far, and waits for more.
        while driver.output().is_some() {}
        let cx = &mut TaskContext::from_waker(Waker::noop());
        let mut timer = pin!(None);
        assert!(driver.poll_work(cx, timer.as_mut()).is_pending());
        for seq in 1..=2 {
            deliver(&reader, seq);
        }
        let length = |piece: EncodedMessage<'_>| piece.len();
        for _ in 0..MESSAGES {
            assert!(reader.poll_next(cx, length).is_ready());
        }
        assert!(reader.poll_next(cx, length).is_pending(), "its turn first");
        assert!(driver.poll_work(cx, timer).is_ready());
        assert!(reader.poll_next(cx, length).is_ready());
    }
}
