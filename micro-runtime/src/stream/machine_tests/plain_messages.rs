//! Messages that are no frames of the peer: of a second responder, or frames of this end that a responder repeats.

use bytes::Bytes;
use tokio::time::Instant;

use super::rules::{MAX_PAYLOAD, Pair, WINDOW, check_failed, next_frame, numbered_by, pair};
use super::simulation::{limits, peer};
use crate::metadata::Metadata;
use crate::status::{Code, Reason, Status};
use crate::stream::frame_control;
use crate::stream::machine::Machine;
use crate::wire;
use crate::wire::FrameMark;

#[test]
fn a_plain_reply_ends_the_stream_only_before_accept() {
    let refused = || Status::new(Code::ResourceExhausted, "of a second responder");
    let now = Instant::now();
    let mut unaccepted = Machine::client(limits(WINDOW), MAX_PAYLOAD, None, now);
    assert!(unaccepted.on_plain_reply(refused(), Metadata::new()));
    let status = unaccepted.end().unwrap().clone().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(!unaccepted.on_plain_reply(refused(), Metadata::new()));
    let mut pair = pair();
    pair.carry();
    for machine in [&mut pair.client, &mut pair.server] {
        assert!(!machine.on_plain_reply(refused(), Metadata::new()));
        assert!(!machine.is_done());
    }
    let mut large_reply =
        Machine::large_reply_client(peer(), limits(WINDOW), MAX_PAYLOAD, None, now);
    assert!(!large_reply.on_plain_reply(refused(), Metadata::new()));
    assert!(!large_reply.is_done());
}

/// A message that ends the opening of a client.
type EndOpening = dyn Fn(&mut Machine, Instant);

/// Whatever ends an opening, a second responder may have accepted it.
#[test]
fn a_server_that_accepts_behind_the_end_of_an_opening_gets_a_reset() {
    let endings: [&EndOpening; 7] = [
        &|client, _| {
            let status = Status::new(Code::ResourceExhausted, "of a second responder");
            assert!(client.on_plain_reply(status, Metadata::new()));
        },
        &|client, _| assert!(client.on_no_frame()),
        &|client, now| assert!(client.receive(Bytes::new(), now)),
        // A RESET, an ACCEPT without a name, what is no frame, and one whose ACCEPT was lost.
        &|client, now| assert!(client.receive(by_server(0, frame_control::RESET), now)),
        &|client, now| assert!(client.receive(by_server(0, frame_control::ACCEPT), now)),
        &|client, now| assert!(client.receive(b"\x0f\xff"[..].into(), now)),
        &|client, now| assert!(client.receive(by_server(1, frame_control::OPEN), now)),
    ];
    for end in endings {
        let now = Instant::now();
        let mut client = Machine::client(limits(WINDOW), MAX_PAYLOAD, None, now);
        end(&mut client, now);
        let outcome = format!("{:?}", client.end());
        assert!(
            matches!(client.end(), Some(Err(_))),
            "the application has its error"
        );
        assert!(!client.is_done() && !client.has_output());
        // Further messages of the first responder change nothing.
        end_again(&mut client, now);
        assert!(!client.is_done() && !client.has_output());
        let mut server = Machine::server(peer(), limits(WINDOW), WINDOW, MAX_PAYLOAD, None, now);
        client.receive(server.output(now).unwrap().payload, now);
        server.receive(client.output(now).unwrap().payload, now);
        check_failed(&server, Reason::Dropped, Code::Canceled);
        assert!(client.is_done());
        assert_eq!(format!("{:?}", client.end()), outcome);

        // Without a second responder it ends at the open timeout.
        let mut alone = Machine::client(limits(WINDOW), MAX_PAYLOAD, None, now);
        end(&mut alone, now);
        alone.on_time(now + limits(WINDOW).open_timeout);
        assert!(alone.is_done());
        assert_eq!(alone.next_time(), None);
    }
}

fn end_again(client: &mut Machine, now: Instant) {
    let status = Status::new(Code::ResourceExhausted, "again");
    assert!(!client.on_plain_reply(status, Metadata::new()));
    client.receive(by_server(0, frame_control::RESET), now);
    client.receive(by_server(1, frame_control::OPEN), now);
}

fn by_server(seq: u64, flags: u32) -> Bytes {
    numbered_by(FrameMark::OfServer, seq, flags, &[])
}

/// Each message is one with END, without a mark or with the mark of the end that it comes to; then a RESET, a PING, an
/// ACCEPT, an opening, and nothing.
#[test]
fn a_message_without_the_mark_of_the_peer_is_no_frame() {
    let now = Instant::now();
    let messages = |own: FrameMark| {
        let frame = |seq, flags, entries: &[&[u8]]| numbered_by(own, seq, flags, entries);
        [
            frame(1, frame_control::END, &[b"x"]).slice(1..),
            frame(1, frame_control::END, &[b"x"]),
            frame(2, frame_control::END, &[b"x"]),
            frame(0, frame_control::RESET, &[]),
            frame(0, frame_control::PING, &[]),
            frame(0, frame_control::ACCEPT, &[]),
            wire::opening_payload(),
            Bytes::new(),
        ]
    };
    for message in messages(FrameMark::OfClient) {
        let mut unaccepted = Machine::client(limits(WINDOW), MAX_PAYLOAD, None, now);
        assert!(unaccepted.receive(message.clone(), now));
        check_failed(&unaccepted, Reason::NotAService, Code::Internal);
        let large_reply =
            Machine::large_reply_client(peer(), limits(WINDOW), MAX_PAYLOAD, None, now);
        for mut client in [pair().client, large_reply] {
            let had_output = client.has_output();
            assert!(!client.receive(message.clone(), now));
            assert!(client.end().is_none());
            assert!(client.receiving.next().is_none());
            assert_eq!(client.has_output(), had_output);
        }
    }
    // No other peer knows the server's subject.
    for message in messages(FrameMark::OfServer) {
        let large_reply = Machine::large_reply(peer(), limits(WINDOW), MAX_PAYLOAD, now);
        for mut server in [pair().server, large_reply] {
            // An opening has the mark of a client, and no frame behind it.
            assert!(server.receive(message.clone(), now));
            check_failed(&server, Reason::BadFrame, Code::Internal);
            let reset = next_frame(&mut server, now).control;
            assert!(reset.has(frame_control::RESET));
            assert!(server.is_done(), "a second message gets no second RESET");
            server.receive(message.clone(), now);
            assert!(!server.has_output());
        }
    }
}

#[test]
fn an_offer_within_a_stream_is_no_frame() {
    let now = Instant::now();
    let Pair {
        mut client,
        mut server,
        ..
    } = pair();
    assert!(!client.on_no_frame());
    assert!(client.end().is_none());
    assert!(server.on_no_frame());
    check_failed(&server, Reason::BadFrame, Code::Internal);
    let mut unaccepted = Machine::client(limits(WINDOW), MAX_PAYLOAD, None, now);
    assert!(unaccepted.on_no_frame());
    check_failed(&unaccepted, Reason::NotAService, Code::Internal);
}
