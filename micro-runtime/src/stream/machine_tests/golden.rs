//! The bytes of frames, as docs/PROTOCOL.md shows them under "Golden bytes".

use std::time::Instant;

use bytes::Bytes;

use super::simulation::{HEARTBEAT, limits, metadata, peer};
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::stream::credit::Credit;
use crate::stream::machine::Machine;
use crate::stream::output::reset_frame;
use crate::stream::stream_header::StreamHeader;

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

fn check(machine: &mut Machine, now: Instant, expected: &[u8]) -> Bytes {
    let frame = machine.output(now).unwrap().payload;
    assert_eq!(
        frame.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
    frame
}

#[test]
fn a_request_opens_with_a_header() {
    let mut open = StreamHeader {
        window: WINDOW,
        heartbeat: 5 * HEARTBEAT,
        is_unary: false,
    };
    assert_eq!(open.encode(), "v=1;w=4;b=65536;hb=5");
    open.is_unary = true;
    assert_eq!(open.encode(), "v=1;u=1;w=4;b=65536;hb=5");
}

#[test]
fn accept_alone() {
    let now = Instant::now();
    let golden = b"\x18\x10\x28\x04\x30\x80\x80\x04\x42\x02a1\x4a\x027f";
    check(&mut server(MAX_PAYLOAD, now), now, golden);
}

#[test]
fn accept_and_open_with_two_messages_a_grant_and_a_ping() {
    let now = Instant::now();
    let (mut client, mut server) = (client(now), server(MAX_PAYLOAD, now));
    server.open(metadata(1));
    server.sending.write_encoded(Bytes::from_static(b"hi"));
    server.sending.write_encoded(Bytes::new());
    let golden = b"\x12\x02hi\x12\x00\x18\x30\x28\x04\x30\x80\x80\x04\x42\x02a1\x4a\x027f\
                   \x52\x06\x0a\x01k\x12\x01v\x08\x01";
    client.receive(check(&mut server, now, golden), now);

    client.receiving.next().unwrap();
    client.receiving.note_taken(Credit {
        messages: 2,
        bytes: 2,
    });
    check(&mut client, now, b"\x20\x02\x28\x06\x30\x82\x80\x04");

    let later = now + HEARTBEAT;
    client.on_time(later);
    let ping = check(
        &mut client,
        later,
        b"\x18\x08\x20\x02\x28\x06\x30\x82\x80\x04",
    );
    server.receive(ping, later);
    check(&mut server, later, b"\x28\x04\x30\x80\x80\x04\x58\x01");

    server.finish(Some(Status::not_found("no account 7")), metadata(1));
    let golden = b"\x18\x02\x28\x04\x30\x80\x80\x04\x3a\x10\x08\x05\x12\x0cno account 7\
                   \x52\x06\x0a\x01k\x12\x01v\x08\x02";
    client.receive(check(&mut server, later, golden), later);
    let failure = client.end().unwrap().clone().unwrap_err();
    assert_eq!(failure.code(), Code::NotFound);
    assert_eq!(client.trailers(), &metadata(1));
}

#[test]
fn a_message_in_fragments() {
    let now = Instant::now();
    let mut server = server(258, now);
    check(
        &mut server,
        now,
        b"\x18\x10\x28\x04\x30\x80\x80\x04\x42\x02a1\x4a\x027f",
    );
    server.sending.write_encoded(Bytes::from_static(b"hello"));
    server.finish(None, Metadata::new());
    let fragments: [&[u8]; 3] = [
        b"\x12\x02he\x18\x01\x28\x04\x30\x80\x80\x04\x08\x01",
        b"\x12\x02ll\x18\x01\x28\x04\x30\x80\x80\x04\x08\x02",
        b"\x12\x01o\x18\x02\x28\x04\x30\x80\x80\x04\x08\x03",
    ];
    for fragment in fragments {
        check(&mut server, now, fragment);
    }
    assert!(server.is_done());
}

#[test]
fn reset() {
    let frame = reset_frame(&Status::new(Code::Canceled, "enough"));
    assert_eq!(&frame[..], b"\x18\x04\x3a\x0a\x08\x01\x12\x06enough");
}

#[test]
fn a_large_reply_is_offered_and_granted() {
    let now = Instant::now();
    assert_eq!(&peer().accept_frame()[..], b"\x18\x10\x42\x02a1\x4a\x027f");
    let mut client = Machine::large_reply_client(peer(), limits(WINDOW), MAX_PAYLOAD, None, now);
    check(&mut client, now, b"\x28\x04\x30\x80\x80\x04");
}
