//! One end of a stream with an application that sends what it was lent and takes what comes, and
//! checks every frame that its machine makes.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::frame::{self, Entries, Frame, FrameControl};
use crate::stream::machine::Machine;
use crate::stream::options::Credit;
use crate::stream::output::OutboundFrame;
use crate::stream::receiving::{MessageBatch, join_fragments};

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
    /// What is still to be sent.
    pub(super) left: VecDeque<Bytes>,
    pub(super) headers: Metadata,
    pub(super) trailers: Metadata,
    pub(super) status: Option<Status>,
    pub(super) is_open: bool,
    pub(super) has_finished: bool,
    pub(super) received: Vec<Bytes>,
    /// How what was received ended.
    pub(super) outcome: Option<Result<(), Status>>,
    current: Entries,
    taken: Credit,
    said: FrameControl,
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
            said: FrameControl::default(),
        }
    }

    /// Sends one message, or the end; says whether it did.
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

    /// Sends as a handler's stream does: as much at once as there is room for.
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

    /// Takes one message, or the end; says whether there was one.
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
        } = Frame::read(output.payload.clone()).unwrap().control;
        let has = |flag| flags & flag != 0;
        assert!(!self.said.has(frame::RESET), "a frame after RESET");
        let has_ended = self.said.has(frame::END);
        assert!(!has_ended || seq == 0, "a frame after END");
        if !has(frame::RESET) {
            assert!(!has_ended || self.is_client, "a server's END is its last");
            assert!(taken >= self.said.taken);
            assert!(max_messages >= self.said.max_messages, "credits shrank");
            assert!(max_bytes >= self.said.max_bytes, "credits shrank");
            assert!(seq == 0 || seq == self.said.seq + 1);
            self.said.taken = taken;
            self.said.max_messages = max_messages;
            self.said.max_bytes = max_bytes;
            self.said.seq = self.said.seq.max(seq);
        }
        self.said.flags |= flags;
        Some(output)
    }

    pub(super) fn receive(&mut self, payload: Bytes, longest: usize, now: Instant) {
        let has =
            |flag| Frame::read(payload.clone()).is_ok_and(|frame| frame.control.flags & flag != 0);
        let (is_reset, is_ping) = (has(frame::RESET), has(frame::PING));
        self.machine.receive(payload, now);
        let machine = &self.machine;
        let is_named = !self.is_client || machine.server_address().is_some();
        if is_reset {
            assert!(machine.is_done() && !machine.has_output());
        } else if is_ping && is_named {
            assert!(
                machine.is_done() || machine.has_output(),
                "a PING is answered"
            );
        }
        if matches!(machine.end(), None | Some(Ok(()))) {
            let waiting = machine.receiving.waiting();
            assert!(waiting.messages <= self.window.messages);
            let most = self.window.bytes as usize + longest + self.max_payload;
            assert!(waiting.bytes as usize <= most, "{waiting:?}");
        }
    }
}
