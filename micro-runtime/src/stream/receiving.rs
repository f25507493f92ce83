//! `Receiving`: one direction of a stream at its receiver: what arrived, what was taken, what may still come. Pure.
//!
//! Rules, from docs/PROTOCOL.md, "A streaming call":
//!
//! - *Order and loss.* Numbered frames are accepted in sequence only. A number seen before is ignored, a gap is
//!   `DATA_LOSS`: NATS delivers at most once, so the missing frame will not come. A direction that stops without END
//!   never counts as complete.
//! - *Flow control.* The peer may send up to absolute sums of messages and bytes, of which every frame of ours
//!   repeats the latest. They only grow, so a lost grant costs nothing. A peer that begins a message at its limit is
//!   reset; the last message below it may overshoot.
//! - *Fragments* are granted again as they arrive, since an unfinished message cannot be taken; the limit of one
//!   message bounds them instead.
//! - *Memory.* Only entries count, so only entries are kept: a frame that is mostly something else, and a small one
//!   that has to wait, moves into a buffer of its own.
//!
//! So the memory of one stream is at most a small multiple of its window in bytes, plus the limit of one message,
//! whatever the peer sends; the fuzz target `stream` holds the bound.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::memory_budget;
use crate::memory_budget::{HeldBytes, MemoryBudget};
use crate::status::{Reason, Status};
use crate::stream::credit::Credit;
use crate::stream::entries::{Entries, MAX_COPIED_LEN};
use crate::stream::fragments::Fragments;
use crate::stream::frame::{BadFrame, Frame};
use crate::stream::frame_control;
use crate::stream::options::StreamLimits;
use crate::stream::stream_label::StreamLabel;

/// Number of grants that a peer gets while it uses up one window.
///
/// The protocol demands two. With four the sender still has room when a grant arrives, and need not stop for it;
/// eight or sixteen are slower again, as each grant is a message of its own (docs/PERFORMANCE.md, "Streams").
const GRANTS_PER_WINDOW: u64 = 4;

/// Bytes that each stream counts for in the memory budget of a server, whatever it holds: its two ends of queues and
/// buffers, and as much of what waits.
pub(crate) const STREAM_MEMORY: usize = 16 * 1024;
/// Bytes that a message counts for besides its own while it waits.
const MESSAGE_MEMORY: u64 = 128;
/// What the windows in bytes are divided by while the memory of the server is short.
const SHORT_WINDOW_DIVISOR: u64 = 16;
/// Window in bytes that is left then.
const MIN_SHORT_WINDOW: u64 = 64 * 1024;

/// The receiving direction of one end.
#[derive(Debug)]
pub(crate) struct Receiving {
    window: Credit,
    /// Maximum length in bytes of a message.
    max_message_bytes: usize,
    label: StreamLabel,
    /// Number of the last frame that was accepted.
    seq: u64,
    received: Credit,
    /// Sum of what the application has taken or discarded.
    taken: Credit,
    /// Sum of what the peer may send, as the last frame to it stated.
    granted: Credit,
    /// The unfinished message.
    fragments: Option<Fragments>,
    queue: VecDeque<MessageBatch>,
    /// END has arrived, and with it every frame before.
    is_complete: bool,
    /// The application wants no more messages: they are discarded and count as taken.
    is_discarding: bool,
    /// Memory of what waits, from the budget of a server.
    held: HeldBytes,
    /// What was read still counts: the one request of a unary call, which its handler has to the end.
    holds_to_end: bool,
}

/// Complete messages that wait for the application.
#[derive(Debug)]
pub(crate) enum MessageBatch {
    /// The messages of one frame.
    Entries(Entries),
    /// One message that arrived in fragments; the reader joins them.
    Fragments(Vec<Bytes>),
}

impl Receiving {
    /// Returns the direction at its begin, with the first window granted.
    pub(crate) fn new(limits: &StreamLimits) -> Self {
        Self {
            window: limits.window,
            max_message_bytes: limits.max_message_bytes,
            label: StreamLabel::new(None, false),
            seq: 0,
            received: Credit::default(),
            taken: Credit::default(),
            granted: limits.window,
            fragments: None,
            queue: VecDeque::new(),
            is_complete: false,
            is_discarding: false,
            held: HeldBytes::uncounted(),
            holds_to_end: false,
        }
    }

    /// Takes the memory of what waits from this budget from now on; with `holds_to_end` also of what was read. The
    /// first window is smaller where memory is short.
    pub(crate) fn hold_in(&mut self, budget: &Arc<MemoryBudget>, holds_to_end: bool) {
        self.held = HeldBytes::of(budget);
        self.holds_to_end = holds_to_end;
        self.granted.bytes = self.window_bytes();
    }

    /// Returns the window in bytes: a sixteenth of the usual one while the memory of the server is short.
    fn window_bytes(&self) -> u64 {
        match self.held.budget() {
            Some(budget) if budget.is_short() => (self.window.bytes / SHORT_WINDOW_DIVISOR)
                .max(MIN_SHORT_WINDOW)
                .min(self.window.bytes),
            _ => self.window.bytes,
        }
    }

    /// Takes memory for what waits, beyond what each stream has.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` if the budget has too little left.
    fn hold_waiting(&mut self) -> Result<(), Status> {
        let bytes = self.received.bytes.saturating_sub(self.taken.bytes);
        let messages = self.received.messages.saturating_sub(self.taken.messages);
        let needed = usize::try_from(bytes + messages * MESSAGE_MEMORY).unwrap_or(usize::MAX);
        let needed = match needed.checked_next_multiple_of(STREAM_MEMORY) {
            Some(needed) if needed > STREAM_MEMORY => needed - STREAM_MEMORY,
            _ => 0,
        };
        if self.holds_to_end && needed < self.held.bytes() {
            return Ok(());
        }
        match needed == self.held.bytes() || self.held.try_set(needed) {
            true => Ok(()),
            false => Err(memory_budget::exceeded()),
        }
    }

    /// Sets the names for the texts of failures.
    pub(super) fn set_label(&mut self, label: StreamLabel) {
        self.label = label;
    }

    /// Checks the number of a frame; `true` if it is the next one, `false` if it was seen before and must be
    /// ignored.
    ///
    /// # Errors
    ///
    /// `DATA_LOSS` after a gap; [`BadFrame`] behind END.
    pub(crate) fn is_next(&mut self, seq: u64) -> Result<bool, Status> {
        if seq <= self.seq {
            return Ok(false);
        }
        if seq != self.seq + 1 {
            return Err(self.next_was_lost());
        }
        if self.is_complete {
            return Err(BadFrame("a frame follows the end of its direction").into_status());
        }
        self.seq = seq;
        Ok(true)
    }

    /// Checks the number of the peer's last numbered frame, which frames without a number carry.
    ///
    /// A gap shows only with the next numbered frame. If the last frame of a direction is lost there is none, and
    /// two ends could wait for each other for ever while their PINGs keep the stream alive.
    ///
    /// # Errors
    ///
    /// `DATA_LOSS` if a frame is missing. NATS delivers frames of one publisher in order, so it is not late.
    pub(crate) fn check_last(&self, last: u64) -> Result<(), Status> {
        if last <= self.seq {
            return Ok(());
        }
        Err(self.next_was_lost())
    }

    fn next_was_lost(&self) -> Status {
        let missing = self.seq + 1;
        Reason::FramesLost.status(format!("frame {missing} of the stream was lost on the way"))
    }

    /// Takes in the messages of the next frame.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` if the peer sends beyond its window, or a message beyond the limit;
    /// [`BadFrame`] if END leaves a message unfinished.
    pub(crate) fn add_frame(&mut self, frame: Frame) -> Result<(), Status> {
        let Frame { control, entries } = frame;
        let ends = control.has(frame_control::END);
        if entries.len() > 0 {
            self.check_window()?;
            if entries.exceed(self.max_message_bytes) {
                return Err(self.label.too_long_to_receive(self.max_message_bytes));
            }
            self.received.bytes += entries.bytes() as u64;
            let is_unfinished = control.has(frame_control::MORE);
            if is_unfinished || self.fragments.is_some() {
                self.add_fragmented(entries, is_unfinished)?;
            } else {
                self.add_complete(entries);
            }
            self.hold_waiting()?;
        }
        if ends {
            if self.fragments.is_some() {
                return Err(BadFrame("the last message is unfinished").into_status());
            }
            self.is_complete = true;
        }
        Ok(())
    }

    /// Takes in a frame whose first entry continues a message, whose last entry is unfinished, or both.
    fn add_fragmented(&mut self, mut entries: Entries, is_unfinished: bool) -> Result<(), Status> {
        if self.fragments.is_some() {
            let Some(first) = entries.next_bytes() else {
                return Ok(());
            };
            self.add_fragment(&first)?;
            if is_unfinished && entries.len() == 0 {
                return Ok(());
            }
            self.complete_message();
        }
        let last = match is_unfinished {
            true => entries.split_last(),
            false => None,
        };
        self.add_complete(entries);
        last.map_or(Ok(()), |last| self.add_fragment(&last))
    }

    fn add_fragment(&mut self, fragment: &Bytes) -> Result<(), Status> {
        let fragments = self.fragments.get_or_insert_default();
        fragments.add(fragment);
        if fragments.bytes() <= self.max_message_bytes {
            return Ok(());
        }
        Err(self.label.too_long_to_receive(self.max_message_bytes))
    }

    /// Queues the message in fragments, which has all of them.
    fn complete_message(&mut self) {
        let Some(fragments) = self.fragments.take() else {
            return;
        };
        self.received.messages += 1;
        if self.is_discarding {
            return self.note_taken(Credit {
                messages: 1,
                bytes: fragments.bytes() as u64,
            });
        }
        self.queue
            .push_back(MessageBatch::Fragments(fragments.into_list()));
    }

    /// Queues the complete messages of a frame.
    ///
    /// The first frame in the queue usually goes to a reader that waits for it, and is not copied. What has to
    /// wait behind it is copied if it is small, since the buffer that it arrived in is 64 KiB and shared.
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
        let is_small = entries.bytes() <= MAX_COPIED_LEN;
        if entries.is_padded() || (!self.queue.is_empty() && is_small) {
            entries.copy_out();
        }
        self.queue.push_back(MessageBatch::Entries(entries));
    }

    /// Rejects a frame with messages of a peer that was at its limit before: an honest one begins no message
    /// there. Checked before the frame is added, so that one frame may overshoot.
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

    /// Returns the next messages, a whole frame of them where possible. They count as taken only with
    /// [`note_taken`](Self::note_taken).
    pub(crate) fn next(&mut self) -> Option<MessageBatch> {
        self.queue.pop_front()
    }

    /// Returns whether the peer's END has arrived, and everything before it.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Adds to what the application has taken, which is granted to the peer again.
    pub(crate) fn note_taken(&mut self, sums: Credit) {
        self.taken.messages += sums.messages;
        self.taken.bytes += sums.bytes;
        // It never takes more than before.
        let _ = self.hold_waiting();
    }

    /// Discards what is queued and what will arrive, and counts it as taken: the peer can finish, though the
    /// application reads no more.
    pub(crate) fn stop_receiving(&mut self) {
        self.is_discarding = true;
        self.queue.clear();
        self.taken = Credit {
            messages: self.received.messages,
            bytes: self.received.bytes - self.unfinished_bytes(),
        };
        let _ = self.hold_waiting();
    }

    /// Frees what is queued; the stream has failed.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.fragments = None;
        self.held.shrink_to(0);
    }

    /// Returns the bytes of the unfinished message that have arrived.
    fn unfinished_bytes(&self) -> u64 {
        let fragments = self.fragments.as_ref();
        fragments.map_or(0, |fragments| fragments.bytes() as u64)
    }

    /// Returns the sums that the peer may have now: one window beyond what was taken, and never less than it was
    /// granted before. The unfinished message does not count against the window in bytes: it could not be
    /// completed if it were longer than that, and cannot be taken before.
    fn target_grant(&self) -> Credit {
        let bytes = self.taken.bytes + self.window_bytes() + self.unfinished_bytes();
        Credit {
            messages: self
                .granted
                .messages
                .max(self.taken.messages + self.window.messages),
            bytes: self.granted.bytes.max(bytes),
        }
    }

    /// Returns whether a grant is worth a frame of its own: a [`GRANTS_PER_WINDOW`]th of either window can be
    /// granted. Never behind END, which needs no more credit.
    pub(crate) fn is_grant_due(&self) -> bool {
        let target = self.target_grant();
        let messages = target.messages - self.granted.messages;
        let bytes = target.bytes - self.granted.bytes;
        !self.is_complete
            && (messages >= (self.window.messages / GRANTS_PER_WINDOW).max(1)
                || bytes >= (self.window_bytes() / GRANTS_PER_WINDOW).max(1))
    }

    /// Grants all that can be granted, and returns `taken` and the limits for the next frame. Every frame carries
    /// them, whatever it is for.
    pub(crate) fn grant(&mut self) -> (u64, Credit) {
        self.granted = self.target_grant();
        (self.taken.messages, self.granted)
    }

    /// Returns the sums of what has arrived and was not taken.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> Credit {
        Credit {
            messages: self.received.messages - self.taken.messages,
            bytes: self.received.bytes - self.taken.bytes,
        }
    }

    /// Returns the memory in bytes that it takes, with the frames around it.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn kept(&self) -> usize {
        let batches = self.queue.iter().map(|batch| match batch {
            MessageBatch::Entries(entries) => entries.kept(),
            MessageBatch::Fragments(fragments) => fragments.iter().map(Bytes::len).sum(),
        });
        self.unfinished_bytes() as usize + batches.sum::<usize>()
    }
}
