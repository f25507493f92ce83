//! Attacks by streams and by messages that follow in parts.

use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use futures_util::StreamExt as _;
use micro_runtime::codegen::prost::Message as _;
use micro_runtime::codegen::prost::encoding::{WireType, encode_key, encode_varint};
use micro_runtime::{Bus, StreamOptions};
use micro_tests::streams::{CountRequest, Item, StreamsClient};

use crate::peer::{Attacker, headers};

/// The payload of an opening without a message (STREAM-4).
const NO_MESSAGE: [u8; 12] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
];
/// Length of a request that is begun and not finished.
const UNFINISHED: usize = 4_000_000;
/// Length of its fragments.
const FRAGMENT: usize = 128 * 1024;

/// Streams of which nothing more is heard, with a heartbeat of a day.
pub(crate) async fn absent_streams(peer: &mut Attacker) {
    while peer.goes_on() {
        let opening = headers([("Micro-Stream", "v=2;w=65536;b=4194304;hb=86400")]);
        peer.request(
            "streams.v1.Streams.Echo",
            opening,
            Bytes::from_static(&NO_MESSAGE),
        )
        .await;
    }
}

/// Streams of requests that their handlers do not read, each filled as far as its window goes, and kept open.
pub(crate) async fn unread_streams(peer: &mut Attacker) {
    let bus = Bus::connect(&*peer.url).await.unwrap();
    let client: StreamsClient = bus.client();
    let options = StreamOptions::new().window_bytes(64 * 1024 * 1024);
    let mut open = Vec::new();
    while peer.goes_on() {
        let Ok(mut items) = client
            .collect()
            .stream_options(options)
            .no_retry()
            .open()
            .await
        else {
            // sleep: the server has no room for another one.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let mut item = Item {
            plan: "wait".to_owned(),
            ..Item::default()
        };
        for _ in 0..100 {
            let sending = items.send(item);
            // sleep: the window is full.
            let room = tokio::time::timeout(Duration::from_millis(50), sending).await;
            if !matches!(room, Ok(Ok(()))) {
                break;
            }
            peer.count(60 * 1024).await;
            item = Item {
                data: vec![0; 60 * 1024],
                ..Item::default()
            };
        }
        open.push(items);
    }
}

/// Requests of 4 MB that are begun, whose last part is never sent, and whose streams are kept alive.
pub(crate) async fn unfinished_requests(peer: &mut Attacker) {
    let inbox = "_INBOX.attack.*";
    let mut accepted = peer.client.subscribe(inbox).await.unwrap();
    let mut kept = Vec::new();
    while peer.goes_on() {
        let opening = format!("v=2;u=1;l={UNFINISHED};w=65536;b=4194304;hb=86400");
        let opening = headers([("Micro-Stream", &*opening)]);
        let method = "behavior.v1.Behavior.Echo";
        peer.request(method, opening, Bytes::from_static(&NO_MESSAGE))
            .await;
        let reading = accepted.next();
        // sleep: a server without room may be slow to refuse.
        let reply = tokio::time::timeout(Duration::from_millis(100), reading).await;
        if let Some(stream) = reply.ok().flatten().and_then(|reply| stream_of(&reply)) {
            send_parts(peer, &stream).await;
            kept.push(stream);
        }
        if peer.sent().is_multiple_of(500) {
            for stream in &kept {
                // A PING.
                let _ = peer
                    .client
                    .publish(stream.clone(), Bytes::from_static(&[7, 0x20, 0]))
                    .await;
            }
        }
    }
}

/// Sends all fragments but the last.
async fn send_parts(peer: &mut Attacker, stream: &str) {
    let part = vec![b'x'; FRAGMENT];
    for number in 1..(UNFINISHED / FRAGMENT) as u64 {
        let mut frame = vec![7];
        encode_key(2, WireType::LengthDelimited, &mut frame);
        encode_varint(FRAGMENT as u64, &mut frame);
        frame.extend_from_slice(&part);
        // MORE
        frame.extend_from_slice(&[0x18, 1]);
        encode_key(1, WireType::Varint, &mut frame);
        encode_varint(number, &mut frame);
        let sending = peer.client.publish(stream.to_owned(), frame.into());
        sending.await.unwrap();
        peer.count(FRAGMENT).await;
    }
}

/// Returns the subject of a stream whose ACCEPT this is.
fn stream_of(accept: &Message) -> Option<String> {
    let accepted = accept.payload.strip_prefix(&[0x0f])?;
    let (mut instance, mut stream) = (None, None);
    let mut rest = accepted;
    while let [key, tail @ ..] = rest {
        let (len, tail) = match key & 7 {
            0 => (tail.iter().position(|byte| byte & 0x80 == 0)? + 1, tail),
            2 => (usize::from(*tail.first()?), tail.get(1..)?),
            _ => return None,
        };
        let value = tail.get(..len)?;
        match key >> 3 {
            8 => instance = std::str::from_utf8(value).ok(),
            9 => stream = std::str::from_utf8(value).ok(),
            _ => {}
        }
        rest = &tail[len..];
    }
    let (instance, stream) = (instance?, stream?);
    Some(format!("behavior.v1.Behavior._i.{instance}._up.{stream}"))
}

/// Streams of replies without an end, whose windows have none either, and whose replies are dropped.
pub(crate) async fn endless_windows(peer: &mut Attacker) {
    let mut replies = peer.client.subscribe("_INBOX.attack.*").await.unwrap();
    let request = CountRequest {
        messages: u64::MAX,
        size: 1000,
        pause_us: 100,
        ..CountRequest::default()
    };
    let payload = Bytes::from(request.encode_to_vec());
    for _ in 0..16 {
        let windows = "v=2;w=9223372036854775807;b=9223372036854775807;hb=86400";
        let opening = headers([("Micro-Stream", windows)]);
        peer.request("streams.v1.Streams.Count", opening, payload.clone())
            .await;
    }
    let dropping = async { while replies.next().await.is_some() {} };
    tokio::select! {
        () = dropping => {}
        () = peer.rest() => {}
    }
}

/// Frames of streams that do not exist, of every form.
pub(crate) async fn forged_frames(peer: &mut Attacker) {
    let opening = headers([("Micro-Stream", "v=2;w=65536;b=4194304;hb=86400")]);
    let inbox = "_INBOX.attack.*";
    let mut accepted = peer.client.subscribe(inbox).await.unwrap();
    peer.request(
        "behavior.v1.Behavior.Echo",
        opening,
        Bytes::from_static(&[]),
    )
    .await;
    let accept = accepted.next().await.unwrap();
    let stream = stream_of(&accept).unwrap();
    let (instance, _) = stream.rsplit_once('.').unwrap();
    let metadata = Bytes::from([&[7][..], &[0x52, 0].repeat(400_000)].concat());
    let entries = Bytes::from([&[7][..], &[0x12, 0].repeat(400_000), &[8, 1]].concat());
    while peer.goes_on() {
        for frame in [&metadata, &entries, &Bytes::from_static(&[7, 0x20, 0])] {
            for to in [format!("{instance}.{:x}", peer.sent()), stream.clone()] {
                let reply = format!("_INBOX.attack.{}", peer.sent());
                let sending = peer.client.publish_with_reply(to, reply, frame.clone());
                sending.await.unwrap();
                peer.count(frame.len()).await;
            }
        }
        tokio::task::yield_now().await;
    }
}
