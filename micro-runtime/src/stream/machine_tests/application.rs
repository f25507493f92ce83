//! One end of a stream with an application that sends given messages and takes all that arrive, and checks every frame
//! that its machine makes.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::credit::Credit;
use crate::stream::entries::Entries;
use crate::stream::fragments::join_fragments;
use crate::stream::frame::Frame;
use crate::stream::frame_control;
use crate::stream::frame_control::FrameControl;
use crate::stream::machine::Machine;
use crate::stream::output::OutboundFrame;
use crate::stream::receiving::MessageBatch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ServerStreaming,
    ClientStreaming,
    Bidirectional,
    LargeReply,
}

pub(super) struct Application {
    pub(super) machine: Machine,
    pub(super) kind: Kind,
    pub(super) is_client: bool,
    pub(super) max_payload: usize,
    pub(super) window: Credit,
    /// Messages that were not sent yet.
    pub(super) left: VecDeque<Bytes>,
    pub(super) headers: Metadata,
    pub(super) trailers: Metadata,
    pub(super) status: Option<Status>,
    pub(super) is_open: bool,
    pub(super) has_finished: bool,
    pub(super) received: Vec<Bytes>,
    /// Result of the receiving direction.
    pub(super) outcome: Option<Result<(), Status>>,
    /// Messages of the frame that is being read.
    current: Entries,
    taken: Credit,
    /// Flags of all frames sent so far; number, `taken` and limits of the last one.
    sent: FrameControl,
}

impl Application {
    pub(super) fn new(kind: Kind, machine: Machine, window: Credit, max_payload: usize) -> Self {
        Self {
            is_client: machine.is_client(),
            machine,
            kind,
            max_payload,
            window,
            left: VecDeque::new(),
            headers: Metadata::new(),
            trailers: Metadata::new(),
            status: None,
            is_open: false,
            has_finished: false,
            received: Vec::new(),
            outcome: None,
            current: Entries::default(),
            taken: Credit::default(),
            sent: FrameControl::default(),
        }
    }

    /// Sends one message, or the end; returns whether it did.
    pub(super) fn send(&mut self) -> bool {
        if self.has_finished || self.machine.end().is_some() || !self.may_send() {
            return false;
        }
        if !self.is_client && !self.is_open {
            self.is_open = true;
            self.machine.open(self.headers.clone());
            return true;
        }
        if self.left.is_empty() {
            self.has_finished = true;
            self.machine
                .finish(self.status.take(), std::mem::take(&mut self.trailers));
            return true;
        }
        if !self.machine.sending.has_room() {
            return false;
        }
        match self.is_client {
            true => {
                let message = self.left.pop_front().unwrap();
                self.machine.sending.write_encoded(message);
                true
            }
            false => self.send_some(),
        }
    }

    fn may_send(&self) -> bool {
        match self.kind {
            _ if self.is_client => self.machine.server_address().is_some(),
            Kind::ClientStreaming => self.outcome.is_some() || self.status.is_some(),
            _ => true,
        }
    }

    /// Sends as a handler's stream does: as many messages together as there is room for.
    fn send_some(&mut self) -> bool {
        let Some(mut writer) = self.machine.sending.take_writer() else {
            return false;
        };
        while writer.has_room()
            && let Some(message) = self.left.pop_front()
        {
            writer.write_encoded(message);
        }
        self.machine.sending.submit(writer);
        true
    }

    /// Takes one message, or the end; returns whether there was one.
    pub(super) fn take(&mut self) -> bool {
        if self.outcome.is_some() {
            return false;
        }
        if let Some(message) = self.current.next_bytes() {
            self.note(message);
            return true;
        }
        let taken = std::mem::take(&mut self.taken);
        self.machine.receiving.note_taken(taken);
        match self.machine.receiving.next() {
            Some(MessageBatch::Entries(entries)) => self.current = entries,
            Some(MessageBatch::Fragments(fragments)) => self.note(join_fragments(&fragments)),
            None => self.outcome = self.machine.reading_end(),
        }
        self.outcome.is_some() || self.current.len() > 0 || self.taken.messages > 0
    }

    fn note(&mut self, message: Bytes) {
        self.taken.messages += 1;
        self.taken.bytes += message.len() as u64;
        self.received.push(message);
    }

    pub(super) fn output(&mut self, now: Instant) -> Option<OutboundFrame> {
        let output = self.machine.output(now)?;
        assert!(
            output.payload.len() <= self.max_payload,
            "a frame of {} bytes",
            output.payload.len()
        );
        let FrameControl {
            seq,
            flags,
            taken,
            max_messages,
            max_bytes,
            ..
        } = Frame::read(self.machine.mark(), output.payload.clone())
            .unwrap()
            .control;
        let has = |flag| flags & flag != 0;
        assert!(!self.sent.has(frame_control::RESET), "a frame after RESET");
        let has_ended = self.sent.has(frame_control::END);
        assert!(!has_ended || seq == 0, "a frame after END");
        if !has(frame_control::RESET) {
            assert!(!has_ended || self.is_client, "a frame after a server's END");
            assert!(taken >= self.sent.taken);
            assert!(max_messages >= self.sent.max_messages, "limits shrank");
            assert!(max_bytes >= self.sent.max_bytes, "limits shrank");
            assert!(seq == 0 || seq == self.sent.seq + 1);
            self.sent.taken = taken;
            self.sent.max_messages = max_messages;
            self.sent.max_bytes = max_bytes;
            self.sent.seq = self.sent.seq.max(seq);
        }
        self.sent.flags |= flags;
        Some(output)
    }

    pub(super) fn receive(&mut self, payload: Bytes, longest: usize, now: Instant) {
        let frame = Frame::read(self.machine.mark().of_peer(), payload.clone());
        let has = |flag| {
            let frame = frame.as_ref();
            frame.is_ok_and(|frame| frame.control.flags & flag != 0)
        };
        let (is_reset, is_ping) = (has(frame_control::RESET), has(frame_control::PING));
        self.machine.receive(payload, now);
        let machine = &self.machine;
        let is_named = !self.is_client || machine.server_address().is_some();
        if is_reset {
            // Before ACCEPT a second server may accept.
            assert!(machine.is_done() || !is_named);
            assert!(!machine.has_output());
        } else if is_ping && is_named {
            assert!(
                machine.is_done() || machine.has_output(),
                "a frame follows a PING"
            );
        }
        if matches!(machine.end(), None | Some(Ok(()))) {
            let waiting = machine.receiving.waiting();
            assert!(waiting.messages <= self.window.messages);
            let max_bytes = self.window.bytes as usize + longest + self.max_payload;
            assert!(waiting.bytes as usize <= max_bytes, "{waiting:?}");
        }
    }
}
