//! The bytes of frames, those of docs/golden.json.

use bytes::Bytes;
use tokio::time::Instant;

use super::simulation::{HEARTBEAT, limits, metadata, peer};
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::stream::credit::Credit;
use crate::stream::machine::Machine;
use crate::stream::output::reset_frame;
use crate::stream::stream_header::StreamHeader;
use crate::wire::FrameMark;
use crate::wire::golden::example;

const WINDOW: Credit = Credit {
    messages: 4,
    bytes: 65_536,
};
const MAX_PAYLOAD: usize = 1024 * 1024;

fn client(now: Instant) -> Machine {
    Machine::client(limits(WINDOW), MAX_PAYLOAD, None, now)
}

fn server(max_payload: usize, now: Instant) -> Machine {
    Machine::server(peer(), limits(WINDOW), WINDOW, max_payload, None, now)
}

/// Checks that the next frame is that of the example with this name.
#[track_caller]
fn check(machine: &mut Machine, now: Instant, name: &str) -> Bytes {
    let frame = machine.output(now).unwrap().payload;
    example(name).check(None, &frame);
    frame
}

#[test]
fn a_request_opens_with_a_header() {
    let mut open = StreamHeader {
        window: WINDOW,
        heartbeat: 5 * HEARTBEAT,
        is_unary: false,
        length: 0,
    };
    let check = |open: StreamHeader, name: &str| {
        let golden = example(name);
        assert_eq!(open.encode(), golden.header("Micro-Stream"), "{name}");
        let read = StreamHeader::decode(golden.header("Micro-Stream"));
        assert_eq!(read.unwrap(), open, "{name}");
    };
    check(open, "stream_opening");
    check(open, "stream_opening_without_message");
    (open.is_unary, open.length) = (true, 8195);
    check(open, "large_request_opening");
}

#[test]
fn accept_alone() {
    let now = Instant::now();
    check(&mut server(MAX_PAYLOAD, now), now, "accept");
}

#[test]
fn accept_and_open_with_two_messages_a_grant_and_a_ping() {
    let now = Instant::now();
    let (mut client, mut server) = (client(now), server(MAX_PAYLOAD, now));
    server.open(metadata(1));
    server.sending.write_encoded(Bytes::from_static(b"hi"));
    server.sending.write_encoded(Bytes::new());
    client.receive(check(&mut server, now, "accept_and_open"), now);

    client.receiving.next().unwrap();
    client.receiving.note_taken(Credit {
        messages: 2,
        bytes: 2,
    });
    check(&mut client, now, "grant");

    let later = now + HEARTBEAT;
    client.on_time(later);
    let ping = check(&mut client, later, "ping");
    server.receive(ping, later);
    check(&mut server, later, "ping_reply");

    server.finish(Some(Status::not_found("no account 7")), metadata(1));
    client.receive(check(&mut server, later, "end_with_failure"), later);
    let failure = client.end().unwrap().clone().unwrap_err();
    assert_eq!(failure.code(), Code::NotFound);
    assert_eq!(client.trailers(), &metadata(1));
}

#[test]
fn a_stop_of_the_server() {
    let now = Instant::now();
    let (mut client, mut server) = (client(now), server(MAX_PAYLOAD, now));
    server.open(Metadata::new());
    client.receive(server.output(now).unwrap().payload, now);
    assert!(!client.is_stopping());
    server.announce_stop();
    client.receive(check(&mut server, now, "stopping"), now);
    assert!(client.is_stopping() && client.end().is_none());
    assert!(server.output(now).is_none(), "one frame tells it");
}

#[test]
fn a_message_in_fragments() {
    let now = Instant::now();
    let mut server = server(258, now);
    check(&mut server, now, "accept");
    server.sending.write_encoded(Bytes::from_static(b"hello"));
    server.finish(None, Metadata::new());
    for fragment in ["fragment_1", "fragment_2", "fragment_3"] {
        check(&mut server, now, fragment);
    }
    assert!(server.is_done());
}

#[test]
fn reset() {
    let status = Status::new(Code::Canceled, "enough");
    for (mark, name) in [
        (FrameMark::OfClient, "reset_by_client"),
        (FrameMark::OfServer, "reset_by_server"),
    ] {
        example(name).check(None, &reset_frame(mark, &status));
    }
}

#[test]
fn a_large_reply_is_offered_and_granted() {
    let now = Instant::now();
    example("large_reply_offer").check_payload(&peer().accept_frame());
    let mut client = Machine::large_reply_client(peer(), limits(WINDOW), MAX_PAYLOAD, None, now);
    check(&mut client, now, "large_reply_grant");
}
