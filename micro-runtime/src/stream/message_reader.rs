//! `MessageReader`: takes the messages off one end of a stream, one at a time.
//!
//! It takes a whole frame from the channel and reads its messages without the lock, so that reading costs one lock for
//! a frame. What it has read counts as taken when it asks for the next frame: credit is granted again by frames, not
//! by messages.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use tokio::time::Instant;

use crate::status::Status;
use crate::stream::channel::{Channel, ReadOutcome};
use crate::stream::credit::Credit;
use crate::stream::entries::Entries;
use crate::stream::fragments::join_fragments;
use crate::stream::frame_sharing::{EncodedMessage, FrameSharing};
use crate::stream::machine::{Machine, dropped};
use crate::stream::receiving::MessageBatch;

/// Maximum length in bytes of a message that is read in place. The `bytes` fields of a longer one are shares of its
/// frame: it is large enough that keeping the frame for them is fair.
const MAX_BORROWED_LEN: usize = 1024;

/// The receiving half of one end.
///
/// Dropping a client's reader before the end cancels the call; dropping a handler's discards the rest of the requests
/// while the call goes on.
pub(crate) struct MessageReader {
    channel: Arc<Channel>,
    /// Messages of the current frame that were not read yet.
    entries: Entries,
    sharing: FrameSharing,
    /// Messages that were returned since the channel was last asked.
    taken: Credit,
    is_ended: bool,
    is_client: bool,
}

impl MessageReader {
    /// Returns the reader of a client, whose call ends with it.
    pub(crate) fn client(channel: Arc<Channel>) -> Self {
        Self::new(channel, true)
    }

    /// Returns the reader of a handler, which may stop reading and go on.
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

    /// Returns the stream, for the half that sends.
    pub(crate) fn shared_channel(&self) -> Arc<Channel> {
        Arc::clone(&self.channel)
    }

    /// Returns the stream.
    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Polls for the next message and passes it to `read`; `None` after the last, or after an error.
    ///
    /// A borrowed message lives only as long as the call of `read`. Cancel safe: a message is taken only when this is
    /// ready.
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
            // The used-up frame is dropped before the next one is waited for: an idle stream keeps no buffer, and
            // `note_released` counts correctly.
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

    /// Polls for the next encoded message. A small one is copied, since the caller may keep it.
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

    /// Waits for the next encoded message; `None` after the last. Cancel safe.
    pub(crate) async fn next_bytes(&mut self) -> Result<Option<Bytes>, Status> {
        poll_fn(|cx| self.poll_bytes(cx)).await.transpose()
    }

    /// Waits for the decoding of a message up to the deadline of the stream. Dropped before its turn, it does not
    /// begin.
    ///
    /// The messages of a stream that has ended in order may be read behind its deadline, and are decoded without one.
    ///
    /// # Errors
    ///
    /// That of `decoding`; `DEADLINE_EXCEEDED` at the deadline.
    pub(crate) fn within_deadline<T, F>(
        &self,
        decoding: F,
    ) -> impl Future<Output = Result<T, Status>> + use<T, F>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let channel = self.shared_channel();
        let deadline = channel.inspect(|machine| machine.deadline);
        let deadline = deadline.filter(|deadline| *deadline > Instant::now());
        async move {
            let Some(deadline) = deadline else {
                return decoding.await;
            };
            tokio::select! {
                biased;
                decoded = decoding => decoded,
                () = tokio::time::sleep_until(deadline) => {
                    Err(channel.inspect(Machine::not_decoded_in_time))
                }
            }
        }
    }

    /// Ends the reading, since a message could not be decoded or the stream has failed: a client's call is reset with
    /// `status`, a handler's further requests are discarded.
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

    use bytes::Buf as _;
    use tokio::time::Instant;

    use super::*;
    use crate::stream::frame_body::FrameBody;
    use crate::stream::frame_control::FrameControl;
    use crate::stream::machine::Machine;
    use crate::stream::options::StreamOptions;
    use crate::stream::stream_address::StreamAddress;
    use crate::wire::FrameMark;

    const MESSAGES: usize = 1000;

    fn reader(options: StreamOptions) -> MessageReader {
        let address = StreamAddress {
            instance: "i".into(),
            stream: "s".into(),
        };
        let (window, now) = (Credit::default(), Instant::now());
        let machine = Machine::server(address, options.limits(), window, 1 << 20, None, now);
        MessageReader::server(Channel::new(machine))
    }

    /// Delivers a frame of messages.
    fn deliver(reader: &MessageReader, seq: u64) -> Bytes {
        let mut body = FrameBody::default();
        for _ in 0..MESSAGES {
            body.write_bytes(b"0123456789abcdef");
        }
        let seq = FrameControl {
            seq,
            ..FrameControl::default()
        };
        let frame = body.finish_frame(FrameMark::OfClient, seq);
        let receive = |machine: &mut Machine| machine.receive(frame.clone(), Instant::now());
        reader.channel.update(receive);
        frame
    }

    /// Delivers and reads one frame, adds a `bytes` field of each message to `kept`, and returns whether these are
    /// shares of the frame.
    fn keeps_shares(reader: &mut MessageReader, seq: u64, kept: &mut Vec<Bytes>) -> bool {
        let frame = deliver(reader, seq).as_ptr_range();
        let cx = &mut TaskContext::from_waker(Waker::noop());
        let take = |message: EncodedMessage<'_>| match message {
            EncodedMessage::Borrowed(mut message) => message.copy_to_bytes(16),
            EncodedMessage::Owned(_) => panic!("sixteen bytes are read in place"),
        };
        let mut shares = Vec::new();
        for _ in 0..MESSAGES {
            let Poll::Ready(Some(Ok(message))) = reader.poll_next(cx, take) else {
                panic!("a message is missing");
            };
            assert_eq!(message, "0123456789abcdef");
            shares.push(frame.contains(&message.as_ptr()));
            kept.push(message);
        }
        assert!(reader.poll_next(cx, take).is_pending());
        assert!(shares.iter().all(|is_share| *is_share == shares[0]));
        shares[0]
    }

    #[test]
    fn sharing_ends_after_one_frame_if_messages_keep_their_fields() {
        let mut reader = reader(StreamOptions::default());
        let mut kept = Vec::new();
        assert!(keeps_shares(&mut reader, 1, &mut kept));
        kept.clear();
        // Shares are counted when a frame is used up, and those of the first were kept then.
        assert!(!keeps_shares(&mut reader, 2, &mut kept));
    }

    #[tokio::test]
    async fn a_grant_is_sent_before_all_messages_are_read() {
        let mut reader = reader(StreamOptions::default().window_messages(2 * MESSAGES as u32));
        let driver = Arc::clone(&reader.channel);
        // The driver sends what is due so far, and waits.
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
        assert!(
            reader.poll_next(cx, length).is_pending(),
            "the reader yields to the driver"
        );
        assert!(driver.poll_frame_due(cx, timer).is_ready());
        assert!(reader.poll_next(cx, length).is_ready());
    }
}
