//! Reads bytes as steps on one end of a stream, and checks the invariants that must hold for any peer: the end is
//! reached, memory is bounded, every frame is well formed and fits, and no credit is taken back. The fuzz target
//! `stream` runs it, and a test replays the corpus.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::time::Instant;

use crate::metadata::Metadata;
use crate::status::{Code, Reason, Status};
use crate::stream::credit::Credit;
use crate::stream::fragments::join_fragments;
use crate::stream::frame::Frame;
use crate::stream::frame_body::FrameBody;
use crate::stream::frame_control::{self, FrameControl};
use crate::stream::machine::{Machine, dropped};
use crate::stream::options::StreamLimits;
use crate::stream::receiving::MessageBatch;
use crate::stream::stream_address::StreamAddress;
use crate::wire::FrameMark;

/// Cases that a run reached, as in "ended in order".
pub(super) type Reached = BTreeSet<&'static str>;

/// Maximum length of a NATS message in bytes: room for a status alone, whose short form has at most 1,024 bytes.
const MAX_PAYLOAD: usize = 2048;
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Maximum number of steps in a run.
const STEPS: usize = 300;

/// Bytes that are read one by one; there is a 0 after the end.
struct Input<'a>(&'a [u8]);

/// One end, and what it has sent and received so far.
struct Run {
    machine: Machine,
    limits: StreamLimits,
    now: Instant,
    is_client: bool,
    /// Number of the peer's last frame.
    peer_seq: u64,
    peer_limit: u64,
    /// Length in bytes of the longest frame received.
    longest: usize,
    /// Flags of all frames sent so far; number, `taken` and limits of the last one.
    sent: FrameControl,
    reached: Reached,
}

/// Runs the steps that `bytes` encode.
///
/// # Panics
///
/// Panics if an invariant is violated.
pub(super) fn run(bytes: &[u8]) -> Reached {
    check_reading(FrameMark::OfClient, marked(FrameMark::OfClient, bytes));
    let mut input = Input(bytes);
    let mut run = Run::new(&mut input);
    for _ in 0..STEPS {
        if input.0.is_empty() {
            break;
        }
        run.step(&mut input);
        run.check();
    }
    run.finish();
    run.reached
}

/// Entry point of the fuzz target.
#[cfg(fuzzing)]
pub fn fuzz_stream(bytes: &[u8]) {
    run(bytes);
}

/// Checks that a frame that can be read is written again with the same content.
fn check_reading(mark: FrameMark, bytes: Bytes) {
    let Ok(frame) = Frame::read(mark, bytes) else {
        return;
    };
    let (count, length) = (frame.entries.len(), frame.entries.bytes());
    let mut entries = frame.entries.clone();
    let messages: Vec<Bytes> = std::iter::from_fn(|| entries.next_bytes()).collect();
    assert_eq!(messages.len(), count);
    assert_eq!(messages.iter().map(Bytes::len).sum::<usize>(), length);
    let mut apart = frame.entries.clone();
    assert_eq!(apart.split_last().as_ref(), messages.last());
    apart.copy_out();
    let first: Vec<Bytes> = std::iter::from_fn(|| apart.next_bytes()).collect();
    assert_eq!(first, messages[..count.saturating_sub(1)]);
    let mut body = FrameBody::default();
    messages
        .iter()
        .for_each(|message| body.write_bytes(message));
    let mut control = frame.control;
    // One of unknown fields alone is written as an empty one, which is left out when it is read.
    control.metadata.retain(|entry| entry.encoded_len() > 0);
    if count == 0 && control == FrameControl::default() {
        return;
    }
    let again = Frame::read(mark, body.finish_frame(mark, control.clone()));
    let mut again = again.unwrap_or_else(|flaw| panic!("{flaw:?}"));
    assert_eq!(again.control, control);
    let rest: Vec<Bytes> = std::iter::from_fn(|| again.entries.next_bytes()).collect();
    assert_eq!(rest, messages);
}

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    fn bytes(&mut self, length: usize) -> Bytes {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        Bytes::copy_from_slice(taken)
    }
}

impl Run {
    fn new(input: &mut Input<'_>) -> Self {
        let now = Instant::now();
        let kind = input.byte() % 4;
        let limits = StreamLimits {
            window: Credit {
                messages: 1 + u64::from(input.byte() % 32),
                bytes: 1 << (input.byte() % 13),
            },
            heartbeat: HEARTBEAT,
            open_timeout: 5 * HEARTBEAT,
            idle_timeout: 3 * HEARTBEAT,
            max_message_bytes: 1 << (4 + input.byte() % 10),
        };
        let deadline = match input.byte() {
            0..=127 => None,
            tenths => Some(now + HEARTBEAT / 10 * u32::from(tenths)),
        };
        let peer = StreamAddress {
            instance: "a1".to_owned(),
            stream: "7f".to_owned(),
        };
        let nothing = Credit::default();
        let machine = match kind {
            0 => Machine::client(limits, MAX_PAYLOAD, deadline, now),
            1 => Machine::server(peer, limits, nothing, MAX_PAYLOAD, deadline, now),
            2 => Machine::large_reply(peer, limits, MAX_PAYLOAD, now),
            _ => Machine::large_reply_client(peer, limits, MAX_PAYLOAD, deadline, now),
        };
        Self {
            machine,
            limits,
            now,
            is_client: kind == 0 || kind == 3,
            peer_seq: 0,
            peer_limit: 0,
            longest: 0,
            sent: FrameControl::default(),
            reached: Reached::new(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0 => {
                let length = input.byte().into();
                self.receive(marked(self.machine.mark().of_peer(), &input.bytes(length)));
            }
            1..=5 => self.receive_written(input),
            6 => {
                self.now += HEARTBEAT / 16 * u32::from(input.byte());
                self.machine.on_time(self.now);
            }
            7 | 8 => self.publish(),
            9 | 10 => self.take(),
            11 => self.send(8 * usize::from(input.byte())),
            12 => self.end(input.byte()),
            13 => {
                if !self.is_client && self.sent.flags & frame_control::OPEN == 0 {
                    self.machine.open(metadata(input.byte()));
                }
            }
            _ => self.interrupt(input.byte()),
        }
    }

    /// Receives a frame of the form that a peer sends, with arbitrary content.
    fn receive_written(&mut self, input: &mut Input<'_>) {
        let mut body = FrameBody::default();
        for _ in 0..input.byte() % 5 {
            body.write_bytes(&vec![7; 4 * usize::from(input.byte())]);
        }
        let flags = match input.byte() {
            byte @ 0..=63 => u32::from(byte),
            byte => [
                0,
                frame_control::MORE,
                frame_control::ACCEPT,
                frame_control::ACCEPT | frame_control::OPEN,
            ][usize::from(byte) % 4],
        };
        let seq = match input.byte() % 8 {
            0..=4 => self.peer_seq + 1,
            5 => 0,
            6 => self.peer_seq,
            _ => self.peer_seq + 2,
        };
        if seq == self.peer_seq + 1 {
            self.peer_seq = seq;
        }
        self.peer_limit += u64::from(input.byte());
        let mut control = FrameControl {
            seq,
            flags,
            max_messages: self.peer_limit,
            max_bytes: self.peer_limit * 16,
            ..FrameControl::default()
        };
        if input.byte().is_multiple_of(4) {
            control = control.with_status(Some(&Status::not_found("x")));
        }
        if control.has(frame_control::ACCEPT) {
            control.instance = "a1".to_owned();
            control.stream = "7f".to_owned();
        }
        self.receive(body.finish_frame(self.machine.mark().of_peer(), control));
    }

    fn receive(&mut self, payload: Bytes) {
        check_reading(self.machine.mark().of_peer(), payload.clone());
        self.longest = self.longest.max(payload.len());
        let wants_frame = Frame::read(self.machine.mark().of_peer(), payload.clone())
            .is_ok_and(|frame| frame.control.has(frame_control::PING));
        self.machine.receive(payload, self.now);
        let is_named = !self.is_client || self.machine.server_address().is_some();
        if wants_frame && is_named && !self.machine.is_done() {
            assert!(self.machine.has_output(), "a frame follows a PING");
            self.reached.insert("replied to PING");
        }
    }

    /// Takes and checks all frames that are due.
    fn publish(&mut self) {
        while let Some(output) = self.machine.output(self.now) {
            let length = output.payload.len();
            let frame = Frame::read(self.machine.mark(), output.payload)
                .unwrap_or_else(|flaw| panic!("{flaw:?}"));
            assert!(length <= MAX_PAYLOAD, "{length} bytes: {frame:?}");
            let control = frame.control;
            if control.has(frame_control::RESET) {
                assert!(self.machine.is_done(), "a RESET is the last frame");
                self.reached.insert("sent RESET");
                continue;
            }
            assert!(control.taken >= self.sent.taken);
            assert!(control.max_messages >= self.sent.max_messages);
            assert!(control.max_bytes >= self.sent.max_bytes);
            let has_ended = self.sent.has(frame_control::END);
            assert!(!(has_ended && control.seq > 0), "a frame after END");
            if control.seq > 0 {
                assert_eq!(control.seq, self.sent.seq + 1);
                self.sent.seq = control.seq;
            }
            self.sent.flags |= control.flags;
            self.sent.taken = control.taken;
            self.sent.max_messages = control.max_messages;
            self.sent.max_bytes = control.max_bytes;
        }
    }

    fn take(&mut self) {
        let Some(batch) = self.machine.receiving.next() else {
            return;
        };
        let mut sums = Credit::default();
        match batch {
            MessageBatch::Entries(mut entries) => {
                while let Some(entry) = entries.next_bytes() {
                    sums.messages += 1;
                    sums.bytes += entry.len() as u64;
                }
                self.reached.insert("took messages");
            }
            MessageBatch::Fragments(fragments) => {
                sums.messages = 1;
                sums.bytes = join_fragments(&fragments).len() as u64;
                self.reached.insert("took a fragmented message");
            }
        }
        self.machine.receiving.note_taken(sums);
    }

    fn send(&mut self, length: usize) {
        let sending = &mut self.machine.sending;
        if self.machine.end.is_none() && sending.has_room() && !sending.is_ending() {
            sending.write_encoded(vec![1; length].into());
            self.reached.insert("sent a message");
        }
    }

    fn end(&mut self, byte: u8) {
        if self.is_client {
            return self.machine.finish(None, Metadata::new());
        }
        let status = byte
            .is_multiple_of(3)
            .then(|| Status::not_found("x".repeat(8 * usize::from(byte))));
        self.machine.finish(status, metadata(byte));
    }

    fn interrupt(&mut self, byte: u8) {
        match byte {
            0..=15 => self.machine.reset(dropped("dropped")),
            16..=31 => self.machine.receiving.stop_receiving(),
            32..=35 => self.machine.on_no_responders(),
            36..=39 => {
                let status = Status::new(Code::Unavailable, "no");
                self.machine.on_plain_reply(status, Metadata::new());
            }
            // Without a mark, and with that of this end.
            40..=43 => self.receive(b"\x08\x01\x12\x01x"[..].into()),
            44..=47 => self.receive(marked(self.machine.mark(), b"\x18\x04")),
            48..=49 => drop(self.machine.on_no_frame()),
            _ => {}
        }
    }

    fn check(&mut self) {
        let machine = &self.machine;
        let window = self.limits.window;
        let bytes = window.bytes as usize + self.limits.max_message_bytes + self.longest;
        // Each message may arrive in a frame of its own, with other fields around it.
        let around = (window.messages as usize + 1) * 72;
        let kept = machine.receiving.kept();
        assert!(kept <= 3 * bytes + around, "{kept} bytes are kept");
        if machine.is_done() {
            assert!(machine.end().is_some());
            assert!(!machine.has_output());
            assert!(machine.next_time().is_none());
        } else {
            assert!(machine.has_output() || machine.next_time().is_some());
        }
    }

    /// Checks that the stream ends once the peer is silent, whatever came before.
    fn finish(&mut self) {
        for _ in 0..12 {
            self.publish();
            self.check();
            if let Some(next) = self.machine.next_time() {
                self.now = self.now.max(next);
                self.machine.on_time(self.now);
            }
        }
        assert!(self.machine.is_done(), "there is no end");
        let outcome = match self.machine.end() {
            Some(Ok(())) => "ended in order",
            Some(Err(status)) => match status.reason() {
                None => "ended by the peer",
                Some(Reason::PeerGone) => "peer gone",
                Some(Reason::FramesLost) => "frame lost",
                Some(Reason::BadFrame) => "bad frame",
                Some(Reason::WindowExceeded) => "window exceeded",
                Some(Reason::TooLarge) => "message too large",
                Some(Reason::Deadline) => "deadline",
                Some(_) => "interrupted",
            },
            None => "no end",
        };
        self.reached.insert(outcome);
    }
}

/// Returns these bytes behind the mark of a frame.
fn marked(mark: FrameMark, bytes: &[u8]) -> Bytes {
    [&[mark.byte()], bytes].concat().into()
}

fn metadata(byte: u8) -> Metadata {
    let mut metadata = Metadata::new();
    if byte % 4 == 1 {
        let value = "v".repeat(8 * usize::from(byte));
        metadata
            .append("k", value)
            .unwrap_or_else(|status| panic!("{status}"));
    }
    metadata
}

#[cfg(test)]
#[path = "fuzz_tests.rs"]
mod tests;
