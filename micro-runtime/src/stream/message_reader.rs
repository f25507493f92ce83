//! What one end takes off a stream: pieces of frames, each one message.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;

use crate::status::Status;
use crate::stream::channel::{Channel, ReadOutcome};
use crate::stream::frame::Entries;
use crate::stream::frame_sharing::{EncodedMessage, FrameSharing};
use crate::stream::machine::dropped;
use crate::stream::options::Credit;
use crate::stream::receiving::{MessageBatch, join_fragments};

/// Up to this size a message is read where it lies.
const MAX_BORROWED_LEN: usize = 1024;

/// The receiving half of one end.
pub(crate) struct MessageReader {
    channel: Arc<Channel>,
    entries: Entries,
    sharing: FrameSharing,
    /// What was lent out since the stream was last told.
    taken: Credit,
    is_ended: bool,
    is_client: bool,
}

impl MessageReader {
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
            sharing: FrameSharing::default(),
            taken: Credit::default(),
            is_ended: false,
            is_client,
        }
    }

    /// The stream, for the half that sends.
    pub(crate) fn shared_channel(&self) -> Arc<Channel> {
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
            if self.is_ended {
                return Poll::Ready(None);
            }
            if let Some(message) = self.entries.next_message(MAX_BORROWED_LEN) {
                self.taken.messages += 1;
                self.taken.bytes += message.len() as u64;
                return Poll::Ready(Some(Ok(read(message))));
            }
            // A frame that is used up gives its buffer back before the next one is waited for.
            self.entries = Entries::default();
            self.sharing.note_released();
            let taken = std::mem::take(&mut self.taken);
            match ready!(self.channel.poll_next_batch(cx, taken)) {
                ReadOutcome::Batch(MessageBatch::Entries(mut entries)) => {
                    entries.share_with(&self.sharing);
                    self.entries = entries;
                }
                ReadOutcome::Batch(MessageBatch::Fragments(fragments)) => {
                    let message = join_fragments(&fragments);
                    self.taken.messages += 1;
                    self.taken.bytes += message.len() as u64;
                    return Poll::Ready(Some(Ok(read(EncodedMessage::Owned(message)))));
                }
                ReadOutcome::End(Ok(())) => self.is_ended = true,
                ReadOutcome::End(Err(status)) => {
                    self.is_ended = true;
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
        let read = |message: EncodedMessage<'_>| match message {
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
    pub(crate) fn abort(&mut self, status: &Status) {
        self.is_ended = true;
        if self.is_client {
            self.channel.reset(status.clone());
        } else {
            self.channel.stop_receiving();
        }
    }
}

impl Drop for MessageReader {
    fn drop(&mut self) {
        if self.is_ended {
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
    use crate::stream::frame::{FrameBody, FrameControl};
    use crate::stream::machine::Machine;
    use crate::stream::options::StreamOptions;
    use crate::stream::stream_address::StreamAddress;

    const MESSAGES: usize = 1000;

    fn reader(options: StreamOptions) -> MessageReader {
        let peer = StreamAddress {
            instance: "i".into(),
            stream: "s".into(),
        };
        let (window, now) = (Credit::default(), Instant::now());
        let machine = Machine::server(peer, options.limits(), window, 1 << 20, None, now);
        MessageReader::server(Channel::new(machine))
    }

    /// A frame of messages arrives.
    fn deliver(reader: &MessageReader, seq: u64) -> Bytes {
        let mut body = FrameBody::default();
        for _ in 0..MESSAGES {
            body.write_bytes(b"0123456789abcdef");
        }
        let seq = FrameControl {
            seq,
            ..FrameControl::default()
        };
        let frame = body.finish_frame(seq);
        let receive = |machine: &mut Machine| machine.receive(frame.clone(), Instant::now());
        reader.channel.update(receive);
        frame
    }

    /// Reads one frame's messages, keeps `bytes` fields of all, and says whether they lie in it.
    fn keeps_shares(reader: &mut MessageReader, seq: u64, kept: &mut Vec<Bytes>) -> bool {
        let lies = deliver(reader, seq).as_ptr_range();
        let cx = &mut TaskContext::from_waker(Waker::noop());
        let take = |message: EncodedMessage<'_>| match message {
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
        while driver.next_frame().is_some() {}
        let cx = &mut TaskContext::from_waker(Waker::noop());
        let mut timer = pin!(None);
        assert!(driver.poll_frame_due(cx, timer.as_mut()).is_pending());
        for seq in 1..=2 {
            deliver(&reader, seq);
        }
        let length = |message: EncodedMessage<'_>| message.len();
        for _ in 0..MESSAGES {
            assert!(reader.poll_next(cx, length).is_ready());
        }
        assert!(reader.poll_next(cx, length).is_pending(), "its turn first");
        assert!(driver.poll_frame_due(cx, timer).is_ready());
        assert!(reader.poll_next(cx, length).is_ready());
    }
}
