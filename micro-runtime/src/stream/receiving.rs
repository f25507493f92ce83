//! The receiving direction of a stream: what has arrived, what was taken, what may still come. Pure.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::status::{Code, Reason, Status};
use crate::stream::frame::{self, Entries, Frame};
use crate::stream::options::{Limits, Sums};

/// A frame up to this size that has to wait gets a buffer of its own: the one that it arrived in is
/// larger, and shared with messages of others.
const DETACHED_UP_TO: usize = 16 * 1024;
/// What a frame may take besides its messages before it is kept without that.
const PADDING: usize = 4 * 1024;

/// What has arrived in one direction.
#[derive(Debug)]
pub(crate) struct Receiving {
    window: Sums,
    reassembly: usize,
    /// The number of the last frame in sequence.
    seq: u64,
    received: Sums,
    taken: Sums,
    /// What the peer has been told that it may send in all.
    granted: Sums,
    /// A message is unfinished; these are its parts so far, the small ones apart.
    is_unfinished: bool,
    partial: Vec<Bytes>,
    small_parts: BytesMut,
    partial_bytes: usize,
    queue: VecDeque<Batch>,
    is_complete: bool,
    is_unwanted: bool,
}

/// Complete messages that wait for the application.
#[derive(Debug)]
pub(crate) enum Batch {
    Entries(Entries),
    /// One message that came in parts.
    Parts(Vec<Bytes>),
}

impl Receiving {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            window: limits.window,
            reassembly: limits.reassembly,
            seq: 0,
            received: Sums::default(),
            taken: Sums::default(),
            granted: limits.window,
            is_unfinished: false,
            partial: Vec::new(),
            small_parts: BytesMut::new(),
            partial_bytes: 0,
            queue: VecDeque::new(),
            is_complete: false,
            is_unwanted: false,
        }
    }

    /// Says whether a numbered frame is the next one; an earlier one is to be ignored.
    pub(crate) fn is_next(&mut self, seq: u64) -> Result<bool, Status> {
        if seq <= self.seq {
            return Ok(false);
        }
        if seq != self.seq + 1 {
            return Err(Status::from_runtime(
                Code::DataLoss,
                Reason::FramesLost,
                format!("frame {} of the stream was lost on the way", self.seq + 1),
            ));
        }
        if self.is_complete {
            return Err(bad_frame("a frame follows the end of its direction"));
        }
        self.seq = seq;
        Ok(true)
    }

    /// Takes the messages of the next frame in.
    pub(crate) fn take_in(&mut self, frame: Frame) -> Result<(), Status> {
        let Frame { control, entries } = frame;
        let ends = control.has(frame::END);
        if entries.len() > 0 {
            self.check_window()?;
            self.received.bytes += entries.bytes() as u64;
            let is_unfinished = control.has(frame::MORE);
            if is_unfinished || self.is_unfinished {
                self.take_in_parts(entries, is_unfinished)?;
            } else {
                self.received.messages += entries.len() as u64;
                self.enqueue(entries);
            }
        }
        if ends {
            if self.is_unfinished {
                return Err(bad_frame("the last message is unfinished"));
            }
            self.is_complete = true;
        }
        Ok(())
    }

    fn take_in_parts(&mut self, mut entries: Entries, is_unfinished: bool) -> Result<(), Status> {
        let count = entries.len();
        for index in 0..count {
            let Some(entry) = entries.next_bytes() else {
                return Ok(());
            };
            let is_last = index + 1 == count;
            let is_whole = !(is_last && is_unfinished);
            self.is_unfinished = !is_whole;
            self.partial_bytes += entry.len();
            self.keep_part(entry);
            if self.partial_bytes > self.reassembly {
                return Err(Status::from_runtime(
                    Code::ResourceExhausted,
                    Reason::TooLarge,
                    format!(
                        "a message of the stream is longer than {} bytes, the limit of its receiver",
                        self.reassembly
                    ),
                ));
            }
            if is_whole {
                self.received.messages += 1;
                let bytes = std::mem::take(&mut self.partial_bytes);
                self.flush_parts();
                let parts = std::mem::take(&mut self.partial);
                if self.is_unwanted {
                    self.note_taken(Sums {
                        messages: 1,
                        bytes: bytes as u64,
                    });
                } else {
                    self.queue.push_back(Batch::Parts(parts));
                }
            }
        }
        Ok(())
    }

    /// Small parts go into one buffer: a peer that sends a message byte by byte, or nothing at all,
    /// would have a buffer kept for each.
    fn keep_part(&mut self, part: Bytes) {
        if part.len() > DETACHED_UP_TO {
            self.flush_parts();
            self.partial.push(part);
        } else {
            self.small_parts.extend_from_slice(&part);
            if self.small_parts.len() > DETACHED_UP_TO {
                self.flush_parts();
            }
        }
    }

    fn flush_parts(&mut self) {
        if !self.small_parts.is_empty() {
            let parts = std::mem::take(&mut self.small_parts);
            self.partial.push(parts.freeze());
        }
    }

    fn enqueue(&mut self, mut entries: Entries) {
        let sums = Sums {
            messages: entries.len() as u64,
            bytes: entries.bytes() as u64,
        };
        if self.is_unwanted {
            return self.note_taken(sums);
        }
        if entries.padding() > PADDING
            || !self.queue.is_empty() && entries.bytes() <= DETACHED_UP_TO
        {
            entries.detach();
        }
        self.queue.push_back(Batch::Entries(entries));
    }

    /// An honest peer begins no message at its limit.
    fn check_window(&self) -> Result<(), Status> {
        let is_beyond = self.received.messages >= self.granted.messages
            || self.received.bytes >= self.granted.bytes;
        if !is_beyond {
            return Ok(());
        }
        Err(Status::from_runtime(
            Code::ResourceExhausted,
            Reason::WindowExceeded,
            format!(
                "the peer sends beyond its limit of {} messages and {} bytes",
                self.granted.messages, self.granted.bytes
            ),
        ))
    }

    /// The messages that came next, whole frames where possible.
    pub(crate) fn next(&mut self) -> Option<Batch> {
        self.queue.pop_front()
    }

    /// Says whether the peer has sent all that it had to send.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The application has taken messages.
    pub(crate) fn note_taken(&mut self, sums: Sums) {
        self.taken.messages += sums.messages;
        self.taken.bytes += sums.bytes;
    }

    /// The application wants no more: what comes is dropped, and counts as taken.
    pub(crate) fn unwant(&mut self) {
        self.is_unwanted = true;
        self.queue.clear();
        let partial = self.partial_bytes as u64;
        self.taken = Sums {
            messages: self.received.messages,
            bytes: self.received.bytes - partial,
        };
    }

    /// Frees what waits; the stream has failed.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.partial.clear();
        self.small_parts.clear();
        self.partial_bytes = 0;
    }

    /// What the peer may send in all: a window more than was taken. A message in parts does not
    /// count while it is unfinished, since nobody can take it yet.
    fn wanted(&self) -> Sums {
        let bytes = self.taken.bytes + self.window.bytes + self.partial_bytes as u64;
        Sums {
            messages: self
                .granted
                .messages
                .max(self.taken.messages + self.window.messages),
            bytes: self.granted.bytes.max(bytes),
        }
    }

    /// Says whether the peer has used half of its window, and there is more to give.
    pub(crate) fn is_grant_due(&self) -> bool {
        let wanted = self.wanted();
        let messages = wanted.messages - self.granted.messages;
        let bytes = wanted.bytes - self.granted.bytes;
        !self.is_complete
            && (messages >= (self.window.messages / 2).max(1)
                || bytes >= (self.window.bytes / 2).max(1))
    }

    /// What the next frame says about this direction, whatever else it is for.
    pub(crate) fn grant(&mut self) -> (u64, Sums) {
        self.granted = self.wanted();
        (self.taken.messages, self.granted)
    }

    /// Bytes that are kept here.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> u64 {
        self.received.bytes - self.taken.bytes
    }
}

/// One message out of its parts.
pub(crate) fn join(parts: &[Bytes]) -> Bytes {
    match parts {
        [whole] => whole.clone(),
        parts => {
            let mut joined = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
            parts.iter().for_each(|part| joined.extend_from_slice(part));
            joined.freeze()
        }
    }
}

pub(crate) fn bad_frame(text: &'static str) -> Status {
    Status::from_runtime(
        Code::Internal,
        Reason::BadFrame,
        format!("the peer of the stream breaks the protocol: {text}"),
    )
}
