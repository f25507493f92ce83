//! One case for each rule in docs/PROTOCOL.md, "A streaming call", about frames, flow control, order and loss.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::simulation::{HEARTBEAT, limits, metadata, peer};
use crate::metadata::Metadata;
use crate::status::{Code, Reason};
use crate::stream::credit::Credit;
use crate::stream::frame::Frame;
use crate::stream::frame_body::FrameBody;
use crate::stream::frame_control;
use crate::stream::frame_control::FrameControl;
use crate::stream::machine::Machine;
use crate::stream::options::StreamLimits;
use crate::wire::FrameMark;

pub(super) const MAX_PAYLOAD: usize = 1024;
pub(super) const WINDOW: Credit = Credit {
    messages: 4,
    bytes: 1_000,
};

/// The two ends of an open stream, and their clock.
pub(super) struct Pair {
    pub(super) client: Machine,
    pub(super) server: Machine,
    pub(super) now: Instant,
}

pub(super) fn pair() -> Pair {
    pair_with(WINDOW, limits(WINDOW))
}

pub(super) fn pair_with(window: Credit, client: StreamLimits) -> Pair {
    let now = Instant::now();
    let client = StreamLimits { window, ..client };
    let mut pair = Pair {
        client: Machine::client(client, MAX_PAYLOAD, None, now),
        server: Machine::server(peer(), limits(WINDOW), window, MAX_PAYLOAD, None, now),
        now,
    };
    pair.server.open(Metadata::new());
    pair.carry();
    pair
}

impl Pair {
    pub(super) fn carry(&mut self) {
        loop {
            let (up, down) = (self.client.output(self.now), self.server.output(self.now));
            if up.is_none() && down.is_none() {
                return;
            }
            if let Some(up) = up {
                self.server.receive(up.payload, self.now);
            }
            if let Some(down) = down {
                self.client.receive(down.payload, self.now);
            }
        }
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.client.on_time(self.now);
        self.server.on_time(self.now);
    }
}

pub(super) fn next_frame(machine: &mut Machine, now: Instant) -> Frame {
    let mark = machine.mark();
    Frame::read(mark, machine.output(now).unwrap().payload).unwrap()
}

/// Returns a frame of a server.
pub(super) fn numbered(seq: u64, flags: u32, entries: &[&[u8]]) -> Bytes {
    numbered_by(FrameMark::OfServer, seq, flags, entries)
}

pub(super) fn numbered_by(mark: FrameMark, seq: u64, flags: u32, entries: &[&[u8]]) -> Bytes {
    let mut body = FrameBody::default();
    entries.iter().for_each(|entry| body.write_bytes(entry));
    let control = FrameControl {
        seq,
        flags,
        ..FrameControl::default()
    };
    body.finish_frame(mark, control)
}

#[track_caller]
pub(super) fn check_failed(machine: &Machine, reason: Reason, code: Code) {
    let status = machine.end().unwrap().clone().unwrap_err();
    assert_eq!(
        (status.reason(), status.code()),
        (Some(reason), code),
        "{status}"
    );
}

fn take_all(machine: &mut Machine) {
    let waiting = machine.receiving.waiting();
    while machine.receiving.next().is_some() {}
    machine.receiving.note_taken(waiting);
}

#[test]
fn accept_goes_out_before_the_handler_has_done_anything() {
    let now = Instant::now();
    let mut server = Machine::server(peer(), limits(WINDOW), WINDOW, MAX_PAYLOAD, None, now);
    let first = next_frame(&mut server, now).control;
    assert_eq!((first.flags, first.seq), (frame_control::ACCEPT, 0));
    assert_eq!(
        (first.instance, first.stream),
        ("a1".to_owned(), "7f".to_owned())
    );
    assert!(!server.has_output());
}

#[test]
fn the_servers_first_frame_is_accept_or_reset() {
    let now = Instant::now();
    let lost = (Reason::FramesLost, Code::DataLoss);
    let bad = (Reason::BadFrame, Code::Internal);
    for (payload, (reason, code)) in [
        (numbered(1, frame_control::OPEN, &[b"x"]), lost),
        (numbered(0, frame_control::PING, &[]), lost),
        (numbered(1, frame_control::END, &[b"all"]), lost),
        // ACCEPT without instance and stream.
        (numbered(0, frame_control::ACCEPT, &[]), bad),
        (Bytes::from_static(b"\x0f"), bad),
        (Bytes::from_static(b"\x0f\xff"), bad),
    ] {
        let mut client = Machine::client(limits(WINDOW), MAX_PAYLOAD, None, now);
        client.receive(payload, now);
        check_failed(&client, reason, code);
        assert!(!client.has_output(), "a RESET has no destination");
    }
}

#[test]
fn messages_that_are_ready_share_a_frame() {
    let mut pair = pair();
    for message in ["a", "b", "c"] {
        pair.server.sending.write_encoded(message.into());
    }
    assert_eq!(next_frame(&mut pair.server, pair.now).entries.len(), 3);
}

#[test]
fn open_and_end_share_a_frame_only_without_trailers() {
    for (length, expected) in [
        (0, frame_control::OPEN | frame_control::END),
        (1, frame_control::OPEN),
    ] {
        let now = Instant::now();
        let mut server = Machine::server(peer(), limits(WINDOW), WINDOW, MAX_PAYLOAD, None, now);
        server.open(metadata(1));
        server.finish(None, metadata(length));
        assert_eq!(
            next_frame(&mut server, now).control.flags,
            frame_control::ACCEPT | expected
        );
    }
}

#[test]
fn a_message_waits_for_credit() {
    let mut pair = pair();
    for _ in 0..WINDOW.messages {
        assert!(pair.server.sending.has_room());
        pair.server.sending.write_encoded("x".into());
    }
    assert!(!pair.server.sending.has_room());
    pair.carry();
    assert!(!pair.server.sending.has_room());
    take_all(&mut pair.client);
    pair.carry();
    assert!(pair.server.sending.has_room());
}

#[test]
fn an_entry_may_overshoot_the_bytes_once() {
    let mut pair = pair_with(
        Credit {
            messages: 9,
            bytes: 1,
        },
        limits(WINDOW),
    );
    pair.server.sending.write_encoded(vec![0; 700].into());
    assert!(!pair.server.sending.has_room());
    pair.carry();
    assert_eq!(pair.client.receiving.waiting().bytes, 700);
    assert!(pair.client.end().is_none());
}

#[test]
fn a_peer_beyond_its_limit_is_reset() {
    let mut pair = pair();
    let entries: [&[u8]; 4] = [b"a"; 4];
    pair.client.receive(numbered(2, 0, &entries), pair.now);
    assert!(pair.client.end().is_none());
    pair.client.receive(numbered(3, 0, &entries), pair.now);
    check_failed(
        &pair.client,
        Reason::WindowExceeded,
        Code::ResourceExhausted,
    );
    assert!(
        next_frame(&mut pair.client, pair.now)
            .control
            .has(frame_control::RESET)
    );
}

#[test]
fn fragments_are_granted_again_at_once_and_bounded() {
    let small = StreamLimits {
        max_message_bytes: 5_000,
        ..limits(WINDOW)
    };
    let mut pair = pair_with(
        Credit {
            messages: 1,
            bytes: 1,
        },
        small,
    );
    pair.server.sending.write_encoded(vec![1; 5_000].into());
    pair.carry();
    assert_eq!(pair.client.receiving.waiting().messages, 1);
    take_all(&mut pair.client);
    pair.carry();
    pair.server.sending.write_encoded(vec![1; 5_001].into());
    pair.carry();
    check_failed(&pair.client, Reason::TooLarge, Code::ResourceExhausted);
    check_failed(&pair.server, Reason::TooLarge, Code::ResourceExhausted);
}

#[test]
fn many_small_fragments_take_no_more_memory_than_their_bytes() {
    let mut pair = pair();
    for seq in 2..502 {
        let entry: &[u8] = if seq % 2 == 0 { b"" } else { b"x" };
        pair.client
            .receive(numbered(seq, frame_control::MORE, &[entry]), pair.now);
    }
    assert!(pair.client.end().is_none());
    assert_eq!(pair.client.receiving.kept(), 250);
}

#[test]
fn limits_never_shrink_and_a_lost_grant_costs_nothing() {
    let mut pair = pair();
    for _ in 0..WINDOW.messages {
        pair.server.sending.write_encoded("x".into());
    }
    pair.carry();
    take_all(&mut pair.client);
    let lost = next_frame(&mut pair.client, pair.now).control;
    assert_eq!(lost.max_messages, 2 * WINDOW.messages);
    assert!(!pair.server.sending.has_room());
    pair.wait(HEARTBEAT);
    pair.carry();
    assert!(pair.server.sending.has_room());
    pair.server.sending.raise_limit(Credit::default());
    assert!(pair.server.sending.has_room());
}

#[test]
fn a_gap_is_data_loss() {
    let mut pair = pair();
    pair.client.receive(numbered(3, 0, &[b"x"]), pair.now);
    check_failed(&pair.client, Reason::FramesLost, Code::DataLoss);
}

#[test]
fn a_lost_last_frame_is_detected_with_the_next_ping() {
    let mut pair = pair();
    pair.client.finish(None, Metadata::new());
    drop(pair.client.output(pair.now));
    pair.wait(HEARTBEAT);
    pair.carry();
    check_failed(&pair.server, Reason::FramesLost, Code::DataLoss);
    check_failed(&pair.client, Reason::FramesLost, Code::DataLoss);
}

#[test]
fn a_number_seen_before_is_ignored() {
    let mut pair = pair();
    for _ in 0..2 {
        pair.client.receive(numbered(2, 0, &[b"x"]), pair.now);
    }
    assert_eq!(pair.client.receiving.waiting().messages, 1);
    assert!(pair.client.end().is_none());
}

#[test]
fn nothing_numbered_follows_end() {
    let by_client =
        |seq, flags, entries: &[&[u8]]| numbered_by(FrameMark::OfClient, seq, flags, entries);
    let mut pair = pair();
    pair.server
        .receive(by_client(1, frame_control::END, &[]), pair.now);
    assert_eq!(pair.server.reading_end().map(|end| end.is_ok()), Some(true));
    pair.server.receive(by_client(2, 0, &[b"x"]), pair.now);
    check_failed(&pair.server, Reason::BadFrame, Code::Internal);
}

#[test]
fn end_keeps_messages_that_were_not_taken_and_reset_drops_them() {
    for (flag, expected) in [(frame_control::END, 1), (frame_control::RESET, 0)] {
        let mut pair = pair();
        pair.client.receive(numbered(2, 0, &[b"x"]), pair.now);
        pair.client.receive(numbered(3, flag, &[]), pair.now);
        let left = std::iter::from_fn(|| pair.client.receiving.next()).count();
        assert_eq!(left, expected);
        assert!(pair.client.is_done());
    }
}
