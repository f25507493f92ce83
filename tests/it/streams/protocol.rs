//! Opening requests, replies and frames of streams, as a plain NATS client sends and receives them.

use std::time::Duration;

use async_nats::{HeaderMap, Message};
use micro_runtime::Code;
use micro_testkit::within;

use super::frames::{PING, RESET, flags, number_field, status_code};
use super::items::{count, item};
use super::raw_client::{RawClient, SERVICE, next_message};
use crate::round_trip::round_trip;
use crate::script::Script;

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let value = message.headers.as_ref()?.get(name)?;
    Some(value.as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_frames_messages_are_plain() {
    let client = RawClient::start().await;
    // CountRequest { messages: 3 }: the first item has the number 0, and so no bytes at all.
    let mut replies = client.open("Count", "", b"\x08\x03").await;
    let first = next_message(&mut replies).await;
    assert_eq!(&first.payload[..], b"");
    assert_eq!(header(&first, "Micro-Empty"), Some("1"));
    assert_eq!(header(&first, "Micro-Status"), None);
    for number in [1, 2] {
        let message = next_message(&mut replies).await;
        assert_eq!(&message.payload[..], &[8, number]);
        assert!(message.headers.is_none());
    }
    let end = next_message(&mut replies).await;
    assert!(end.payload.is_empty());
    assert_eq!(header(&end, "Micro-Status"), Some("0"));
    // The final message carries the handler's headers and its trailers.
    assert_eq!(header(&end, "kind"), Some("count"));
    assert_eq!(header(&end, "sent"), Some("3"));
    assert_eq!(header(&end, "last-bin"), Some("/wAN"));

    // No message at all, and a failure after two: { messages: 2, plan: "fail" }.
    let mut replies = client.open("Count", "", b"").await;
    assert_eq!(
        header(&next_message(&mut replies).await, "Micro-Status"),
        Some("0")
    );
    let mut replies = client.open("Count", "", b"\x08\x02\x1a\x04fail").await;
    next_message(&mut replies).await;
    next_message(&mut replies).await;
    let end = next_message(&mut replies).await;
    assert_eq!(header(&end, "Micro-Status"), Some("10"));
    assert_eq!(header(&end, "Nats-Service-Error"), Some("asked to fail"));

    // A client stream of one item, and of none.
    let mut replies = client.open("Collect", "", b"\x12\x02hi").await;
    // Summary { messages: 1, bytes: 2, is_in_order: true }
    assert_eq!(
        &next_message(&mut replies).await.payload[..],
        b"\x08\x01\x10\x02\x18\x01"
    );
    assert_eq!(
        header(&next_message(&mut replies).await, "Micro-Status"),
        Some("0")
    );
    let mut replies = client.open("Collect", "", b"").await;
    assert_eq!(&next_message(&mut replies).await.payload[..], b"\x18\x01");
    client.service.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_frames_at_most_10_000_messages_are_sent() {
    let client = RawClient::start().await;
    for (messages, expected) in [(10_000, "0"), (10_001, "8")] {
        let payload = number_field(1, messages).leak();
        let mut replies = client.open("Count", "", payload).await;
        for _ in 0..10_000 {
            let message = next_message(&mut replies).await;
            assert_eq!(header(&message, "Micro-Status"), None);
        }
        let end = next_message(&mut replies).await;
        assert_eq!(header(&end, "Micro-Status"), Some(expected));
    }
    // CountRequest { messages: 1, size: 2000000 }: a message above the maximum payload fails the
    // stream instead of being left out.
    let payload = [number_field(1, 1), number_field(2, 2_000_000)]
        .concat()
        .leak();
    let end = next_message(&mut client.open("Count", "", payload).await).await;
    assert_eq!(header(&end, "Micro-Status"), Some("8"));
    client.service.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_opens_get_an_error_status() {
    let client = RawClient::start().await;
    let check = async |method: &str, options: &str, payload: &'static [u8], expected: &str| {
        let reply = next_message(&mut client.open(method, options, payload).await).await;
        let status = header(&reply, "Micro-Status");
        assert_eq!(status, Some(expected), "{method} {options}");
    };
    check("Count", "v=1;w=1", b"", "12").await;
    check("Count", "w=1", b"", "12").await;
    check("Count", "garbage", b"", "12").await;
    check("Echo", "v=2;w=many", b"", "3").await;
    check("Repeat", "v=9", b"", "12").await;
    check("Count", "", b"\xff\xff\xff", "3").await;
    // With frames, the status arrives in a frame.
    let mut replies = client.open("Count", "v=2", b"\xff\xff\xff").await;
    let end = next_message(&mut replies).await;
    assert_eq!(status_code(&end.payload), Some(Code::InvalidArgument));
    let mut headers = HeaderMap::new();
    headers.insert("Micro-Stream", "v=2");
    let instance = &client.service.server.instances()[0];
    let unknown = format!("{SERVICE}._i.{instance}.Nope");
    let reply = client
        .nats
        .request_with_headers(unknown, headers, "".into());
    assert_eq!(header(&reply.await.unwrap(), "Micro-Status"), Some("12"));
    client.service.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_for_a_stream_that_has_ended_gets_a_reset() {
    let client = RawClient::start().await;
    let (ended, mut replies) = client.open_accepted("Collect").await;
    client.send_frame(&ended, number_field(3, RESET)).await;
    client.service.wait_until_idle().await;
    let ask = async |up: &str| {
        let ping = || number_field(3, PING).into();
        let asked = || client.nats.request(up.to_owned(), ping());
        // A frame that comes in the moment in which its stream ends gets no reply. Peers ask again, too.
        for _ in 0..5 {
            if let Ok(reply) = tokio::time::timeout(Duration::from_secs(1), asked()).await {
                return reply;
            }
        }
        asked().await
    };
    let reset = ask(&ended).await.unwrap();
    assert_eq!(flags(&reset.payload), RESET);
    assert_eq!(status_code(&reset.payload), Some(Code::Unavailable));
    // A stream that this server has not opened may be one of another server with its id.
    let instance = &client.service.server.instances()[0];
    let mut inbox = client.nats.subscribe("_INBOX.others.*").await.unwrap();
    let of_another = {
        let (base, name) = ended.rsplit_once('.').unwrap();
        let name: String = name.chars().rev().collect();
        format!("{base}.{name}")
    };
    let short = format!("{SERVICE}._i.{instance}._up.0123");
    for (number, up) in [of_another, short, ended.clone()].into_iter().enumerate() {
        let reply = format!("_INBOX.others.{number}");
        let sent = client
            .nats
            .publish_with_reply(up, reply, number_field(3, PING).into());
        sent.await.unwrap();
    }
    assert_eq!(&*next_message(&mut inbox).await.subject, "_INBOX.others.2");
    // A frame without a reply subject gets no RESET, and the server keeps serving.
    let mut all = client.nats.subscribe("_INBOX.>").await.unwrap();
    // The frames of the call below arrive over another connection.
    round_trip(&client.nats).await;
    client.send_frame(&ended, number_field(1, 1)).await;
    client.service.client.repeat(item(1)).await.unwrap();
    while !next_message(&mut all).await.payload.starts_with(&[8, 1]) {}
    drop(replies.unsubscribe().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_of_streams_are_used_again_and_their_subjects_are_not() {
    let client = RawClient::start().await;
    let mut openings = client.nats.subscribe(format!("{SERVICE}.*")).await.unwrap();
    let mut frames = client
        .nats
        .subscribe(format!("{SERVICE}._i.>"))
        .await
        .unwrap();
    round_trip(&client.nats).await;
    let mut slots = std::collections::HashSet::new();
    let mut tokens = std::collections::HashSet::new();
    for _ in 0..200 {
        let mut items = client.service.client.count(count(1, "wait")).await.unwrap();
        items.message().await.unwrap().unwrap();
        drop(items);
        let reply = next_message(&mut openings).await.reply.unwrap();
        let (_, token) = reply.rsplit_once('.').unwrap();
        // The first 32 bits are the slot, the others are never the same again.
        slots.insert(token[..5].to_owned());
        assert!(tokens.insert(token.to_owned()), "{token} is used again");
    }
    assert!(
        slots.len() <= 8,
        "{} slots for one stream at a time",
        slots.len()
    );
    client.service.wait_until_idle().await;
    // The server has forgotten the streams that ended.
    let up = next_message(&mut frames).await.subject;
    let reset = client.nats.request(up, number_field(3, PING).into()).await;
    assert_eq!(
        status_code(&reset.unwrap().payload),
        Some(Code::Unavailable)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_python_client_reads_a_server_stream() {
    let client = RawClient::start().await;
    let script = Script::file("streams.py").run(&client.server);
    within(Duration::from_secs(30), script).await;
}
