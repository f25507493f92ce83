//! The notice of a server that stops (docs/PROTOCOL.md, STREAM-16).

use super::rules::{next_frame, numbered, numbered_by, pair};
use super::simulation::HEARTBEAT;
use crate::metadata::Metadata;
use crate::status::Reason;
use crate::stream::frame_control;
use crate::wire::FrameMark;

#[test]
fn a_notice_that_is_lost_comes_again_with_the_next_frame() {
    let mut pair = pair();
    pair.server.announce_stop();
    let lost = next_frame(&mut pair.server, pair.now);
    assert!(lost.control.has(frame_control::STOPPING));
    assert!(pair.server.output(pair.now).is_none());
    assert!(!pair.client.is_stopping());
    // The reply to a PING, as on a stream without traffic.
    pair.wait(HEARTBEAT);
    pair.carry();
    assert!(pair.client.is_stopping());
    assert!(pair.client.end().is_none() && pair.server.end().is_none());
}

#[test]
fn every_frame_behind_the_stop_has_the_notice_and_the_stream_goes_on() {
    let mut pair = pair();
    pair.server.announce_stop();
    pair.server.announce_stop();
    pair.carry();
    pair.client.sending.write_encoded(b"x".as_slice().into());
    pair.server.sending.write_encoded(b"y".as_slice().into());
    pair.carry();
    assert_eq!(pair.server.receiving.waiting().messages, 1);
    assert_eq!(pair.client.receiving.waiting().messages, 1);
    pair.server.finish(None, Metadata::new());
    let end = next_frame(&mut pair.server, pair.now);
    assert!(end.control.has(frame_control::STOPPING) && end.control.has(frame_control::END));
    // No frame of a client has it.
    pair.client.finish(None, Metadata::new());
    let by_client = next_frame(&mut pair.client, pair.now);
    assert!(!by_client.control.has(frame_control::STOPPING));
}

#[test]
fn a_reset_takes_the_place_of_the_notice() {
    let mut pair = pair();
    pair.server.announce_stop();
    let status = Reason::ShuttingDown.status("the server stopped");
    pair.server.reset(status);
    let reset = next_frame(&mut pair.server, pair.now);
    assert_eq!(reset.control.flags, frame_control::RESET);
    assert!(pair.server.output(pair.now).is_none());
    pair.server.announce_stop();
    assert!(pair.server.output(pair.now).is_none());
}

#[test]
fn a_client_cannot_stop_a_server() {
    let mut pair = pair();
    let frame = numbered_by(FrameMark::OfClient, 1, frame_control::STOPPING, &[b"x"]);
    pair.server.receive(frame, pair.now);
    assert!(!pair.server.is_stopping());
    assert_eq!(pair.server.receiving.waiting().messages, 1);
}

/// As a client of a version before this flag reads it: nothing depends on flags that are not known.
#[test]
fn a_flag_that_is_not_known_changes_nothing() {
    const UNKNOWN: u32 = 128;
    let mut pair = pair();
    pair.client.receive(numbered(0, UNKNOWN, &[]), pair.now);
    pair.client.receive(numbered(2, UNKNOWN, &[b"x"]), pair.now);
    assert_eq!(pair.client.receiving.waiting().messages, 1);
    assert!(pair.client.end().is_none() && !pair.client.is_stopping());
}
