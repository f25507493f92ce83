//! The receiving direction of a stream: what has arrived, what was taken, what may still come. Pure.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::status::{Reason, Status};
use crate::stream::frame;
use crate::stream::frame::{Entries, Frame};
use crate::stream::options::{Credit, StreamLimits};

/// A frame up to this size that has to wait gets a buffer of its own: the one that it arrived in is
/// larger, and shared with messages of others.
const MAX_DETACHED_LEN: usize = 16 * 1024;
/// The peer hears so often of what was taken, while it uses up one window.
const GRANTS_PER_WINDOW: u64 = 4;

/// What has arrived in one direction.
#[derive(Debug)]
pub(crate) struct Receiving {
    window: Credit,
    reassembly: usize,
    /// The number of the last frame in sequence.
    seq: u64,
    received: Credit,
    taken: Credit,
    /// What the peer has been told that it may send in all.
    granted: Credit,
    /// The message that is unfinished.
    parts: Option<Fragments>,
    queue: VecDeque<MessageBatch>,
    is_complete: bool,
    is_discarding: bool,
}

/// Complete messages that wait for the application.
#[derive(Debug)]
pub(crate) enum MessageBatch {
    Entries(Entries),
    /// One message that came in parts.
    Fragments(Vec<Bytes>),
}

/// A message that arrives in parts.
#[derive(Debug, Default)]
struct Fragments {
    list: Vec<Bytes>,
    /// Small parts that came last, which would keep more alive than they are.
    small: BytesMut,
    bytes: usize,
}

impl Receiving {
    pub(crate) fn new(limits: &StreamLimits) -> Self {
        Self {
            window: limits.window,
            reassembly: limits.reassembly,
            seq: 0,
            received: Credit::default(),
            taken: Credit::default(),
            granted: limits.window,
            parts: None,
            queue: VecDeque::new(),
            is_complete: false,
            is_discarding: false,
        }
    }

    /// Says whether a numbered frame is the next one; an earlier one is to be ignored.
    pub(crate) fn is_next(&mut self, seq: u64) -> Result<bool, Status> {
        if seq <= self.seq {
            return Ok(false);
        }
        if seq != self.seq + 1 {
            return Err(lost(&format!("frame {} of the stream", self.seq + 1)));
        }
        if self.is_complete {
            return Err(bad_frame("a frame follows the end of its direction"));
        }
        self.seq = seq;
        Ok(true)
    }

    /// The peer says which numbered frame was its last so far: an end that waits for one that was
    /// lost would wait forever.
    pub(crate) fn check_last(&self, last: u64) -> Result<(), Status> {
        if last <= self.seq {
            return Ok(());
        }
        Err(lost(&format!("frame {} of the stream", self.seq + 1)))
    }

    /// Takes the messages of the next frame in.
    pub(crate) fn add_frame(&mut self, frame: Frame) -> Result<(), Status> {
        let Frame { control, entries } = frame;
        let ends = control.has(frame::END);
        if entries.len() > 0 {
            self.check_window()?;
            self.received.bytes += entries.bytes() as u64;
            let is_unfinished = control.has(frame::MORE);
            if is_unfinished || self.parts.is_some() {
                self.add_fragmented(entries, is_unfinished)?;
            } else {
                self.add_complete(entries);
            }
        }
        if ends {
            if self.parts.is_some() {
                return Err(bad_frame("the last message is unfinished"));
            }
            self.is_complete = true;
        }
        Ok(())
    }

    /// Takes in a frame that begins or ends in the middle of a message.
    fn add_fragmented(&mut self, mut entries: Entries, is_unfinished: bool) -> Result<(), Status> {
        if self.parts.is_some() {
            let Some(first) = entries.next_bytes() else {
                return Ok(());
            };
            self.add_part(first)?;
            if is_unfinished && entries.len() == 0 {
                return Ok(());
            }
            self.complete();
        }
        let last = match is_unfinished {
            true => entries.split_last(),
            false => None,
        };
        self.add_complete(entries);
        last.map_or(Ok(()), |last| self.add_part(last))
    }

    fn add_part(&mut self, part: Bytes) -> Result<(), Status> {
        let parts = self.parts.get_or_insert_default();
        parts.add(part);
        if parts.bytes <= self.reassembly {
            return Ok(());
        }
        Err(Reason::TooLarge.status(format!(
            "a message of the stream is longer than {} bytes, the limit of its receiver",
            self.reassembly
        )))
    }

    /// The message in parts has all of them.
    fn complete(&mut self) {
        let Some(parts) = self.parts.take() else {
            return;
        };
        self.received.messages += 1;
        if self.is_discarding {
            return self.note_taken(Credit {
                messages: 1,
                bytes: parts.bytes as u64,
            });
        }
        self.queue
            .push_back(MessageBatch::Fragments(parts.into_list()));
    }

    fn add_complete(&mut self, mut entries: Entries) {
        let sums = Credit {
            messages: entries.len() as u64,
            bytes: entries.bytes() as u64,
        };
        self.received.messages += sums.messages;
        if self.is_discarding {
            return self.note_taken(sums);
        }
        if sums.messages == 0 {
            return;
        }
        let is_small = entries.bytes() <= MAX_DETACHED_LEN;
        if entries.is_padded() || (!self.queue.is_empty() && is_small) {
            entries.detach();
        }
        self.queue.push_back(MessageBatch::Entries(entries));
    }

    /// An honest peer begins no message at its limit.
    fn check_window(&self) -> Result<(), Status> {
        let is_beyond = self.received.messages >= self.granted.messages
            || self.received.bytes >= self.granted.bytes;
        if !is_beyond {
            return Ok(());
        }
        Err(Reason::WindowExceeded.status(format!(
            "the peer sends beyond its limit of {} messages and {} bytes",
            self.granted.messages, self.granted.bytes
        )))
    }

    /// The messages that came next, whole frames where possible.
    pub(crate) fn next(&mut self) -> Option<MessageBatch> {
        self.queue.pop_front()
    }

    /// Says whether the peer has sent all that it had to send.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The application has taken messages.
    pub(crate) fn note_taken(&mut self, sums: Credit) {
        self.taken.messages += sums.messages;
        self.taken.bytes += sums.bytes;
    }

    /// The application wants no more: what comes is dropped, and counts as taken.
    pub(crate) fn stop_receiving(&mut self) {
        self.is_discarding = true;
        self.queue.clear();
        let partial = self.unfinished_bytes();
        self.taken = Credit {
            messages: self.received.messages,
            bytes: self.received.bytes - partial,
        };
    }

    /// Frees what waits; the stream has failed.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.parts = None;
    }

    /// Bytes of the message that is unfinished.
    fn unfinished_bytes(&self) -> u64 {
        self.parts.as_ref().map_or(0, |parts| parts.bytes as u64)
    }

    /// What the peer may send in all: a window more than was taken. A message in parts does not
    /// count while it is unfinished, since nobody can take it yet.
    fn target_grant(&self) -> Credit {
        let bytes = self.taken.bytes + self.window.bytes + self.unfinished_bytes();
        Credit {
            messages: self
                .granted
                .messages
                .max(self.taken.messages + self.window.messages),
            bytes: self.granted.bytes.max(bytes),
        }
    }

    /// Says whether the peer has used a part of its window, and there is more to give: early enough
    /// that it need not stop and wait.
    pub(crate) fn is_grant_due(&self) -> bool {
        let target = self.target_grant();
        let messages = target.messages - self.granted.messages;
        let bytes = target.bytes - self.granted.bytes;
        !self.is_complete
            && (messages >= (self.window.messages / GRANTS_PER_WINDOW).max(1)
                || bytes >= (self.window.bytes / GRANTS_PER_WINDOW).max(1))
    }

    /// What the next frame says about this direction, whatever else it is for.
    pub(crate) fn grant(&mut self) -> (u64, Credit) {
        self.granted = self.target_grant();
        (self.taken.messages, self.granted)
    }

    /// What has arrived and was not taken.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> Credit {
        Credit {
            messages: self.received.messages - self.taken.messages,
            bytes: self.received.bytes - self.taken.bytes,
        }
    }

    /// How much memory that takes, and the frames around it.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn kept(&self) -> usize {
        let parts = self.parts.as_ref().map_or(0, |parts| parts.bytes);
        let batches = self.queue.iter().map(|batch| match batch {
            MessageBatch::Entries(entries) => entries.kept(),
            MessageBatch::Fragments(fragments) => fragments.iter().map(Bytes::len).sum(),
        });
        parts + batches.sum::<usize>()
    }
}

impl Fragments {
    fn add(&mut self, part: Bytes) {
        self.bytes += part.len();
        if part.len() <= MAX_DETACHED_LEN {
            return self.small.extend_from_slice(&part);
        }
        self.set_small_aside();
        self.list.push(part);
    }

    fn set_small_aside(&mut self) {
        if !self.small.is_empty() {
            self.list.push(std::mem::take(&mut self.small).freeze());
        }
    }

    fn into_list(mut self) -> Vec<Bytes> {
        self.set_small_aside();
        self.list
    }
}

/// One message out of its parts.
pub(crate) fn join_fragments(parts: &[Bytes]) -> Bytes {
    match parts {
        [whole] => whole.clone(),
        parts => {
            let mut joined = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
            parts.iter().for_each(|part| joined.extend_from_slice(part));
            joined.freeze()
        }
    }
}

pub(crate) fn lost(what: &str) -> Status {
    let text = format!("{what} was lost on the way");
    Reason::FramesLost.status(text)
}

pub(crate) fn bad_frame(text: &'static str) -> Status {
    Reason::BadFrame.status(format!(
        "the peer of the stream breaks the protocol: {text}"
    ))
}
