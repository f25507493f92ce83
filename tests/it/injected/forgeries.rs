//! Messages that no responder of the call sent: to guessed subjects, to subjects of calls that have ended, and
//! replies of peers that know the subject but do not speak the protocol.

use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::faults::{Forgery, MessageKind, Rule};
use micro_runtime::{ClientOptions, Code, Reason};
use micro_tests::behavior::{BehaviorClient, Blob};
use micro_tests::streams::{CountRequest, Item};
use prost::Message as _;

use super::fixture::{Injected, with_and_without_a_layer};
use crate::until::until;

with_and_without_a_layer! {
    replies_to_calls_that_have_ended_match_no_call
    replies_to_guessed_subjects_match_no_call
    an_acknowledgment_of_jetstream_is_an_error_that_names_the_stream
    an_acknowledgment_is_no_reply_of_a_dynamic_call
    a_status_of_nats_is_an_error
    bytes_that_are_no_reply_are_an_error
    failures_are_read_whatever_the_case_of_their_headers
    a_frame_in_place_of_a_reply_is_an_error
    messages_under_instance_subjects_run_no_handler_unasked
    messages_of_nats_are_no_requests
}

const CALLS: u64 = 100;

fn own(number: u64) -> Blob {
    Blob {
        data: number.to_be_bytes().to_vec(),
    }
}

/// Reply that would decode as the reply of every call in this file.
fn forged() -> Forgery {
    let blob = Blob {
        data: b"forged".to_vec(),
    };
    Forgery::new().payload(blob.encode_to_vec())
}

async fn replies_to_calls_that_have_ended_match_no_call(injected: Injected) {
    let mut used: Vec<String> = Vec::new();
    for round in 0..5 {
        let calls = (0..CALLS).map(|number| {
            let number = round * CALLS + number;
            let call = injected.client.echo(own(number));
            async move { assert_eq!(call.await.unwrap(), own(number)) }
        });
        let forging = async {
            for subject in &used {
                injected.faults.forge(subject, &forged());
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(join_all(calls), forging);
        assert_eq!(
            injected.bus.unmatched_replies(),
            round * (round + 1) / 2 * CALLS
        );
        used = injected.faults.reply_subjects();
    }
}

/// The subjects of other calls are known, and all but their random part can be computed.
async fn replies_to_guessed_subjects_match_no_call(injected: Injected) {
    let late = Duration::from_millis(30)..Duration::from_millis(40);
    let late = Rule::delay(">", late).of_kind(MessageKind::Reply);
    injected.faults.add(late);
    let calls = (0..CALLS).map(|number| {
        let call = injected.client.echo(own(number));
        async move { assert_eq!(call.await.unwrap(), own(number)) }
    });
    let guessing = async {
        until(|| injected.faults.reply_subjects().len() as u64 == CALLS).await;
        let known = injected.faults.reply_subjects();
        for (one, other) in known.iter().zip(known.iter().cycle().skip(7)) {
            // The slot of one call with the random part of another, and neighbors of the random part.
            let (head, tail) = (one.len() - 16, one.len() - 11);
            let crossed = format!("{}{}", &one[..tail], &other[tail..]);
            let next = if one.ends_with('A') { 'B' } else { 'A' };
            let neighbor = format!("{}{next}", &one[..one.len() - 1]);
            let zero = format!("{}{}", &one[..tail], "A".repeat(11));
            let short = one[..head].to_owned() + "0-0";
            for guess in [crossed, neighbor, zero, short] {
                assert!(!known.contains(&guess), "{guess}");
                injected.faults.forge(&guess, &forged());
            }
        }
    };
    tokio::join!(join_all(calls), guessing);
    assert_eq!(injected.bus.unmatched_replies(), 4 * CALLS);
}

/// Forges the reply of one call, and returns the code, the reason and the text of its error. The reply of the
/// service arrives afterwards and matches no call; the next call gets its own.
async fn failure_of(injected: &Injected, forgery: Forgery) -> (Code, Option<Reason>, String) {
    let before = injected.bus.unmatched_replies();
    injected
        .faults
        .add(Rule::forge_reply("behavior.v1.Behavior.Echo", forgery).times(1));
    let status = injected.client.echo(own(1)).no_retry().await.unwrap_err();
    until(|| injected.bus.unmatched_replies() > before).await;
    assert_eq!(injected.client.echo(own(2)).await.unwrap(), own(2));
    injected.faults.clear();
    (status.code(), status.reason(), status.message().to_owned())
}

/// Acknowledgments of JetStream, with the name of the stream.
fn acknowledgments() -> Vec<(String, String)> {
    let of_a_message = acknowledgment_that_is_a_message("CALLS");
    let decoded = Blob::decode(of_a_message.1.as_bytes());
    assert_eq!(decoded.unwrap(), Blob::default());
    let calls = |payload: &str| ("CALLS".to_owned(), payload.to_owned());
    vec![
        calls(r#"{"stream":"CALLS","seq":7}"#),
        calls(r#"{"stream":"CALLS", "seq":7, "domain":"hub", "duplicate":true}"#),
        calls(
            r#"{"error":{"code":503,"err_code":10077,"description":"full"},"stream":"CALLS","seq":0}"#,
        ),
        of_a_message,
    ]
}

/// Returns the name of a stream whose acknowledgments decode as any message: `{` begins a group, which `|` in the name
/// ends, and `z` a field that has the rest.
fn acknowledgment_that_is_a_message(begin: &str) -> (String, String) {
    const LEFT: usize = 60;
    let tail = r#"","seq":7}"#;
    // 115 bytes, the letter `s`, are those of the first field of the group: `tream":"` and the head of the name.
    let head = format!("{begin:A<107}");
    let rest = "B".repeat(LEFT - tail.len());
    let name = format!("{head}|z{}{rest}", char::from(LEFT as u8));
    let payload = format!(r#"{{"stream":"{name}{tail}"#);
    (name, payload)
}

async fn an_acknowledgment_of_jetstream_is_an_error_that_names_the_stream(injected: Injected) {
    for (stream, payload) in acknowledgments() {
        let forgery = Forgery::new().payload(payload);
        let (code, reason, text) = failure_of(&injected, forgery).await;
        assert_eq!(
            (code, reason),
            (Code::Internal, Some(Reason::NotAService)),
            "{text}"
        );
        assert!(text.contains(&format!("`{stream}`")), "{text}");
    }
}

/// Replies of any format have no decoder that refuses an acknowledgment.
async fn an_acknowledgment_is_no_reply_of_a_dynamic_call(injected: Injected) {
    let service = injected.bus.dynamic("behavior.v1.Behavior").await.unwrap();
    let forge = |forgery: Forgery| {
        injected.faults.clear();
        let forged = Rule::forge_reply("behavior.v1.Behavior.Echo", forgery);
        injected.faults.add(forged.times(1));
    };
    for (stream, payload) in acknowledgments() {
        for is_raw in [true, false] {
            forge(Forgery::new().payload(payload.clone()));
            let status = match is_raw {
                true => service.call_raw("Echo", "").no_retry().await.unwrap_err(),
                false => service.call("Echo", "{}").no_retry().await.unwrap_err(),
            };
            assert_eq!(status.reason(), Some(Reason::NotAService), "{status}");
            assert!(
                status.message().contains(&format!("`{stream}`")),
                "{status}"
            );
        }
    }
    for payload in [
        r#"{"stream":"CALLS","seq":7,"more":1}"#,
        r#"{"stream":"CALLS"}"#,
        r#"{"seq":7}"#,
        "{",
        "",
    ] {
        forge(Forgery::new().payload(payload));
        let reply = service.call_raw("Echo", "").await.unwrap();
        assert_eq!(reply.message, payload, "it is no acknowledgment");
    }
    let json = r#"{"stream":"CALLS","seq":7}"#;
    let with_header = Forgery::new().payload(json);
    forge(with_header.header("Content-Type", "application/json"));
    let reply = service.call_raw("Echo", "").await.unwrap();
    assert_eq!(reply.message, json, "an acknowledgment has no header");
}

async fn a_status_of_nats_is_an_error(injected: Injected) {
    for (number, text) in [
        (404, "No Messages"),
        (409, "Exceeded MaxWaiting"),
        (100, "Idle"),
    ] {
        let forgery = Forgery::new().status(number, text);
        let (code, reason, message) = failure_of(&injected, forgery).await;
        assert_eq!((code, reason), (Code::Internal, Some(Reason::NotAService)));
        assert!(message.contains(&format!("{number} {text}")), "{message}");
    }
    let forgery = Forgery::new().status(503, "");
    let (code, reason, message) = failure_of(&injected, forgery).await;
    assert_eq!(
        (code, reason),
        (Code::Unavailable, Some(Reason::NoResponders)),
        "{message}"
    );
}

async fn bytes_that_are_no_reply_are_an_error(injected: Injected) {
    for payload in [&b"\x07"[..], b"\x0a\xff", b"\xff\xff\xff", b"{}"] {
        let forgery = Forgery::new().payload(payload);
        let (code, reason, text) = failure_of(&injected, forgery).await;
        assert_eq!(
            (code, reason),
            (Code::Internal, Some(Reason::Undecodable)),
            "{text}"
        );
    }
}

async fn failures_are_read_whatever_the_case_of_their_headers(injected: Injected) {
    for name in [
        "Micro-Status",
        "micro-status",
        "MICRO-STATUS",
        "mIcRo-StAtUs",
    ] {
        let (code, reason, _) = failure_of(&injected, Forgery::new().header(name, "5")).await;
        assert_eq!((code, reason), (Code::NotFound, None), "{name}");
    }
    let of_adr_32 = Forgery::new().header("nats-service-error-code", "403");
    assert_eq!(
        failure_of(&injected, of_adr_32).await.0,
        Code::PermissionDenied
    );
}

/// An offer of a large reply that is no frame, or names no stream.
async fn a_frame_in_place_of_a_reply_is_an_error(injected: Injected) {
    let offer = |payload: &'static [u8]| {
        Forgery::new()
            .header("Micro-Status", "8")
            .header("Micro-Stream", "v=2;u=1")
            .payload(payload)
    };
    for payload in [
        &b""[..],
        b"\x0f",
        b"\x0f\x18\x10",
        b"\x0f\x18\x10\x42\x02a1",
        // The ACCEPT of a client.
        b"\x07\x18\x10\x42\x02a1\x4a\x027f",
        // The ACCEPT of a server of the first wire.
        b"\x18\x10\x42\x02a1\x4a\x027f",
    ] {
        injected
            .faults
            .add(Rule::forge_reply("streams.v1.Streams.Repeat", offer(payload)).times(1));
        let item = Item {
            number: 1,
            data: b"own".to_vec(),
            ..Item::default()
        };
        let call = injected.stream_client.repeat(item.clone());
        let result = call.timeout(Duration::from_secs(60)).no_retry().await;
        let status = result.unwrap_err();
        assert_eq!(
            (status.code(), status.reason()),
            (Code::Internal, Some(Reason::BadFrame)),
            "{payload:?}: {status}"
        );
        injected.faults.clear();
        assert_eq!(
            injected.stream_client.repeat(item.clone()).await.unwrap(),
            item
        );
    }
}

/// Frames for streams that do not exist, unknown methods, and messages without a reply subject.
async fn messages_under_instance_subjects_run_no_handler_unasked(injected: Injected) {
    let ids = injected.server.instances();
    let (id, of_streams) = (&ids[0], &ids[1]);
    let replies = injected.faults.add(Rule::pass("_INBOX.forged.*"));
    for (number, subject) in [
        format!("behavior.v1.Behavior._i.{id}._up.7f"),
        format!("behavior.v1.Behavior._i.{id}.NoSuchMethod"),
        format!("streams.v1.Streams._i.{of_streams}._up.7f"),
    ]
    .iter()
    .enumerate()
    {
        let reply = format!("_INBOX.forged.{number}");
        for payload in [&b""[..], b"\x08\x01", b"\x07\x18\x02\x08\x01", b"\x07\xff"] {
            let forgery = Forgery::new().payload(payload).reply_to(&reply);
            injected.faults.forge(subject, &forgery);
        }
    }
    // The call alone has replies: the streams are not this server's, and may be those of another one with its id.
    until(|| replies.applied() == 4).await;
    assert!(injected.handled.lock().unwrap().is_empty());
    // One that has ended is. A server does not reply to frames of a server: two would reply to each other without end.
    let frames = injected.bus.subscribe_raw("streams.v1.Streams._i.*._up.*");
    let mut frames = frames.open().await.unwrap();
    drop(injected.stream_client.echo().open().await.unwrap());
    let up = frames.next().await.unwrap().subject().to_owned();
    drop(frames);
    injected.wait_until_idle().await;
    injected.handled.lock().unwrap().clear();
    for (number, payload) in [&b"\x0f"[..], b"\x0f\x18\x04", b"\x0f\x18\x08", b"\x07"]
        .into_iter()
        .enumerate()
    {
        let reply = format!("_INBOX.forged.{number}");
        let forgery = Forgery::new().payload(payload).reply_to(&reply);
        injected.faults.forge(&up, &forgery);
    }
    until(|| replies.applied() == 5).await;
    assert!(injected.handled.lock().unwrap().is_empty());
    injected.wait_until_idle().await;
}

/// Messages that NATS itself makes: statuses, and the delete markers of JetStream.
pub(super) fn of_nats() -> Vec<Forgery> {
    vec![
        Forgery::new().status(503, ""),
        Forgery::new().status(100, "Idle Heartbeat"),
        Forgery::new().status(408, "Request Timeout"),
        Forgery::new().header("Nats-Marker-Reason", "MaxAge"),
    ]
}

/// Any client may make NATS send a status to the subject of a method, as its 503 and the heartbeats of a consumer.
async fn messages_of_nats_are_no_requests(mut injected: Injected) {
    let ids = injected.server.instances();
    let (id, of_streams) = (&ids[0], &ids[1]);
    let replies = injected.faults.add(Rule::pass("_INBOX.forged.*"));
    for subject in [
        "behavior.v1.Behavior.Echo".to_owned(),
        format!("behavior.v1.Behavior._i.{id}.Echo"),
        format!("behavior.v1.Behavior._i.{id}.NoSuchMethod"),
        format!("behavior.v1.Behavior._i.{id}._health"),
        "behavior.v1.Behavior._i._all.Echo".to_owned(),
        "behavior.v1.Behavior._i._all.NoSuchMethod".to_owned(),
        "behavior.v1.Behavior._schema".to_owned(),
        "streams.v1.Streams.Count".to_owned(),
        format!("streams.v1.Streams._i.{of_streams}.Count"),
        "$SRV.PING".to_owned(),
    ] {
        for forgery in of_nats() {
            injected.faults.forge(&subject, &forgery);
            let asking = forgery.reply_to("_INBOX.forged.1");
            injected.faults.forge(&subject, &asking);
        }
    }
    // One request behind them on each subscription.
    assert_eq!(injected.client.echo(own(1)).await.unwrap(), own(1));
    let to_all = injected.client.echo(own(2)).to_all().expected(1);
    let reply = to_all.await.unwrap().next().await.unwrap();
    assert_eq!(reply.result.unwrap(), own(2));
    let options = ClientOptions::new().instance(id.as_str());
    let instance: BehaviorClient = injected.bus.client_with(options);
    assert_eq!(instance.echo(own(3)).await.unwrap(), own(3));
    let pongs = injected.bus.discovery().ping().expected(2).await.unwrap();
    assert_eq!(pongs.len(), 2);
    injected.bus.dynamic("behavior.v1.Behavior").await.unwrap();
    let request = CountRequest::default();
    let mut items = injected.stream_client.count(request.clone()).await.unwrap();
    while items.message().await.unwrap().is_some() {}
    assert_eq!(injected.handled.lock().unwrap().len(), 4);
    assert_eq!(injected.runs_on(&request), 1, "an empty message");
    let stats = injected.server.stats();
    let requests = |service: usize, method: &str| {
        let mut endpoints = stats[service].endpoints.iter();
        let found = endpoints.find(|endpoint| endpoint.name == method);
        found.unwrap().num_requests
    };
    assert_eq!((requests(0, "Echo"), requests(1, "Count")), (3, 1));
    assert_eq!(replies.applied(), 0, "NATS gets no reply");
    injected.expect_held_back_lines();
    injected.wait_until_idle().await;
}
