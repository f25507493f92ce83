//! One case for each rule in docs/PROTOCOL.md, "A streaming call", about liveness, time, cancellation, and metadata
//! that does not fit.

use std::time::Duration;

use tokio::time::Instant;

use super::rules::{
    MAX_PAYLOAD, Pair, WINDOW, check_failed, next_frame, numbered, numbered_by, pair,
};
use super::simulation::{HEARTBEAT, limits, metadata, peer};
use crate::metadata::Metadata;
use crate::status::{Code, Reason, Status};
use crate::stream::frame::Frame;
use crate::stream::frame_control;
use crate::stream::machine::{Machine, dropped, peer_gone};
use crate::stream::options::StreamLimits;
use crate::stream::reset_frame;
use crate::wire::FrameMark;

fn client(deadline: Option<Duration>, now: Instant) -> Machine {
    let deadline = deadline.map(|deadline| now + deadline);
    Machine::client(limits(WINDOW), MAX_PAYLOAD, deadline, now)
}

#[test]
fn a_ping_follows_each_silent_heartbeat_and_gets_a_frame() {
    let Pair {
        mut client,
        mut server,
        now,
    } = pair();
    assert_eq!(client.next_time(), Some(now + HEARTBEAT));
    let later = now + HEARTBEAT;
    client.on_time(later);
    let ping = client.output(later).unwrap();
    assert!(ping.is_probe);
    server.receive(ping.payload, later);
    let reply = server.output(later).unwrap();
    let ack = Frame::read(FrameMark::OfServer, reply.payload.clone())
        .unwrap()
        .control;
    assert_eq!((ack.seq, ack.flags, ack.last), (0, 0, 1));
    assert_eq!(ack.max_messages, WINDOW.messages);
    assert!(!server.has_output());
    client.receive(reply.payload, later);
    assert_eq!(client.next_time(), Some(later + HEARTBEAT));
}

#[test]
fn three_silent_heartbeats_end_both_ends() {
    let mut pair = pair();
    for beat in 1..=3 {
        pair.wait(HEARTBEAT);
        for machine in [&mut pair.client, &mut pair.server] {
            let control = next_frame(machine, pair.now).control;
            assert_eq!(control.has(frame_control::PING), beat < 3);
            assert_eq!(control.has(frame_control::RESET), beat == 3);
        }
    }
    check_failed(&pair.client, Reason::PeerGone, Code::Unavailable);
    check_failed(&pair.server, Reason::PeerGone, Code::Unavailable);
}

#[test]
fn one_frame_in_32_and_the_first_after_5_ms_are_probes() {
    let mut pair = pair();
    let send = |pair: &mut Pair| {
        pair.server.sending.write_encoded("".into());
        let output = pair.server.output(pair.now).unwrap();
        pair.client.receive(output.payload, pair.now);
        let waiting = pair.client.receiving.waiting();
        while pair.client.receiving.next().is_some() {}
        pair.client.receiving.note_taken(waiting);
        if let Some(grant) = pair.client.output(pair.now) {
            assert!(grant.is_probe, "a grant is a probe");
            pair.server.receive(grant.payload, pair.now);
        }
        output.is_probe
    };
    // OPEN was a probe and the first of 32 frames.
    let found: Vec<bool> = (0..64).map(|_| send(&mut pair)).collect();
    assert!(
        found.iter().filter(|is_probe| **is_probe).count() == 2,
        "{found:?}"
    );
    pair.now += Duration::from_millis(5);
    assert!(send(&mut pair), "the first after 5 ms");
}

#[test]
fn a_503_ends_the_stream_at_once() {
    let mut pair = pair();
    pair.client.on_no_responders();
    check_failed(&pair.client, Reason::PeerGone, Code::Unavailable);
    assert!(pair.client.is_done());
    let mut alone = client(None, pair.now);
    alone.on_no_responders();
    check_failed(&alone, Reason::NoResponders, Code::Unavailable);
    assert!(alone.is_done(), "nobody accepts the stream");
}

/// As where the server was restarted: only a silence has the permissions of the server as a likely cause.
#[test]
fn the_reset_of_an_unknown_stream_states_no_cause_of_a_silence() {
    let mut pair = pair();
    pair.carry();
    let text = "the server knows no stream of this name";
    let reset = reset_frame(FrameMark::OfServer, &peer_gone(text));
    pair.client.receive(reset, pair.now);
    check_failed(&pair.client, Reason::PeerGone, Code::Unavailable);
    let end = pair.client.end().unwrap().clone();
    assert_eq!(end.unwrap_err().message(), text);
}

#[test]
fn a_client_fails_if_the_server_does_not_open_in_time() {
    let now = Instant::now();
    let mut client = client(None, now);
    let next = client.next_time().unwrap();
    client.on_time(next);
    check_failed(&client, Reason::PeerGone, Code::Unavailable);
    assert!(client.is_done());
}

/// It opens all the same: a refusal of its request must end it.
#[test]
fn a_client_without_an_open_timeout_opens_until_it_is_accepted() {
    let now = Instant::now();
    let limits = StreamLimits {
        open_timeout: Duration::MAX,
        ..limits(WINDOW)
    };
    let mut client = Machine::client(limits, MAX_PAYLOAD, None, now);
    assert!(client.is_opening());
    let mut server = Machine::server(peer(), limits, WINDOW, MAX_PAYLOAD, None, now);
    client.receive(server.output(now).unwrap().payload, now);
    assert!(!client.is_opening());
}

#[test]
fn a_deadline_resets_both_ends() {
    let now = Instant::now();
    let mut client = client(Some(HEARTBEAT / 2), now);
    let limits = limits(WINDOW);
    let mut server = Machine::server(peer(), limits, WINDOW, MAX_PAYLOAD, None, now);
    client.receive(server.output(now).unwrap().payload, now);
    let then = client.next_time().unwrap();
    assert_eq!(then, now + HEARTBEAT / 2);
    client.on_time(then);
    check_failed(&client, Reason::Deadline, Code::DeadlineExceeded);
    server.receive(client.output(then).unwrap().payload, then);
    check_failed(&server, Reason::Deadline, Code::DeadlineExceeded);
    assert!(client.is_done() && server.is_done());
}

#[test]
fn dropping_either_end_resets_the_other() {
    for by_client in [true, false] {
        let mut pair = pair();
        let (one, other) = match by_client {
            true => (&mut pair.client, &mut pair.server),
            false => (&mut pair.server, &mut pair.client),
        };
        one.reset(dropped("dropped"));
        other.receive(one.output(pair.now).unwrap().payload, pair.now);
        check_failed(other, Reason::Dropped, Code::Canceled);
        for machine in [one, other] {
            assert!(machine.is_done() && machine.output(pair.now).is_none());
            assert_eq!(machine.next_time(), None);
        }
    }
}

#[test]
fn a_client_that_gave_up_before_accept_resets_after_it() {
    let now = Instant::now();
    let mut client = client(None, now);
    client.reset(dropped("dropped"));
    assert!(!client.has_output() && !client.is_done());
    let limits = limits(WINDOW);
    let mut server = Machine::server(peer(), limits, WINDOW, MAX_PAYLOAD, None, now);
    client.receive(server.output(now).unwrap().payload, now);
    server.receive(client.output(now).unwrap().payload, now);
    check_failed(&server, Reason::Dropped, Code::Canceled);
}

#[test]
fn a_client_that_gave_up_before_accept_ends_without_it() {
    let now = Instant::now();
    let mut lost_accept = client(None, now);
    lost_accept.reset(dropped("dropped"));
    lost_accept.receive(numbered(1, 0, &[b"x"]), now);
    lost_accept.on_time(lost_accept.next_time().unwrap());
    assert!(lost_accept.is_done());

    let mut no_frame = client(None, now);
    no_frame.reset(dropped("dropped"));
    no_frame.on_time(no_frame.next_time().unwrap());
    assert!(no_frame.is_done());
}

#[test]
fn a_reset_is_sent_although_the_peers_end_arrives_first() {
    let mut pair = pair();
    pair.server.reset(dropped("dropped"));
    let end = numbered_by(FrameMark::OfClient, 1, frame_control::END, &[]);
    pair.server.receive(end, pair.now);
    assert!(
        next_frame(&mut pair.server, pair.now)
            .control
            .has(frame_control::RESET)
    );
}

#[test]
fn a_server_that_stops_resets_its_large_reply_once_it_is_taken() {
    let now = Instant::now();
    let mut server = Machine::large_reply(peer(), limits(WINDOW), MAX_PAYLOAD, now);
    server.sending.write_encoded(vec![0; 5_000].into());
    assert!(!server.has_output());
    server.reset(Status::unavailable("the server stops"));
    let mut client = Machine::large_reply_client(peer(), limits(WINDOW), MAX_PAYLOAD, None, now);
    server.receive(client.output(now).unwrap().payload, now);
    assert!(
        next_frame(&mut server, now)
            .control
            .has(frame_control::RESET)
    );
}

#[test]
fn the_servers_end_leaves_the_requests_incomplete() {
    let mut pair = pair();
    pair.server.finish(None, Metadata::new());
    pair.carry();
    assert_eq!(pair.client.end().map(Result::is_ok), Some(true));
    let status = pair.server.reading_end().unwrap().unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Dropped));
}

#[test]
fn metadata_that_does_not_fit_is_an_error_for_the_caller() {
    let run = |headers: usize, status: Option<Status>, trailers: usize| {
        let now = Instant::now();
        let limits: StreamLimits = limits(WINDOW);
        let mut server = Machine::server(peer(), limits, WINDOW, MAX_PAYLOAD, None, now);
        server.open(metadata(headers));
        server.sending.write_encoded("x".into());
        server.finish(status, metadata(trailers));
        let mut client = client(None, now);
        while let Some(output) = server.output(now) {
            assert!(output.payload.len() <= MAX_PAYLOAD);
            client.receive(output.payload, now);
        }
        client
            .end()
            .unwrap()
            .clone()
            .map_err(|status| status.code())
    };
    assert_eq!(run(900, None, 900), Ok(()));
    assert_eq!(run(1_020, None, 0), Err(Code::ResourceExhausted));
    assert_eq!(run(0, None, 1_020), Err(Code::ResourceExhausted));
    let failed = Some(Status::not_found("no account 7"));
    assert_eq!(run(0, failed, 1_020), Err(Code::NotFound));
    // Around the length that just fits no frame is longer than a message.
    for (headers, trailers) in [(1, 0), (0, 1)] {
        let lengths = 900..1_030;
        let fits = |length: &usize| run(headers * length, None, trailers * length).is_ok();
        let fitting = lengths.filter(fits).count();
        assert!((1..130).contains(&fitting), "{fitting}");
    }
}

#[test]
fn headers_and_a_first_fragment_share_a_frame_only_if_they_fit() {
    let now = Instant::now();
    let mut server = Machine::server(peer(), limits(WINDOW), WINDOW, MAX_PAYLOAD, None, now);
    server.open(metadata(600));
    server.sending.write_encoded(vec![0; 5_000].into());
    while let Some(output) = server.output(now) {
        assert!(output.payload.len() <= MAX_PAYLOAD);
    }
}
