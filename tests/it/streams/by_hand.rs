//! Streams seen by a NATS client that knows nothing of us.

use std::time::Duration;

use async_nats::{HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use micro_runtime::{Bus, Code};
use micro_testkit::{NatsServer, within};

use super::{Scene, count, item};
use crate::script::Script;

pub(super) const SERVICE: &str = "streams.v1.Streams";
pub(super) const RESET: u8 = 4;
pub(super) const PING: u8 = 8;

pub(super) struct Bench {
    pub(super) nats: NatsServer,
    pub(super) hand: async_nats::Client,
    pub(super) scene: Scene,
}

pub(super) async fn bench() -> Bench {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    Bench {
        hand: async_nats::connect(nats.url()).await.unwrap(),
        scene: Scene::on(&bus).await,
        nats,
    }
}

pub(super) async fn next(replies: &mut Subscriber) -> Message {
    within(Duration::from_secs(10), replies.next())
        .await
        .unwrap()
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let value = message.headers.as_ref()?.get(name)?;
    Some(value.as_str())
}

/// One field of a frame, by its number: a varint, or bytes.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

pub(super) fn number(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

pub(super) fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    [
        vec![field << 3 | 2],
        varint(value.len() as u64),
        value.to_vec(),
    ]
    .concat()
}

/// The fields of a frame that are numbers and bytes.
pub(super) fn field(frame: &[u8], wanted: u8) -> Option<Vec<u8>> {
    let mut rest = frame;
    let read = |rest: &mut &[u8]| {
        let mut value = 0_u64;
        for shift in 0.. {
            let byte = rest[0];
            *rest = &rest[1..];
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                return value;
            }
        }
        value
    };
    let mut found = None;
    while !rest.is_empty() {
        let key = read(&mut rest);
        let value = match key & 7 {
            0 => read(&mut rest).to_le_bytes().to_vec(),
            _ => {
                let length = usize::try_from(read(&mut rest)).unwrap();
                let value = rest[..length].to_vec();
                rest = &rest[length..];
                value
            }
        };
        if key >> 3 == u64::from(wanted) {
            found = Some(value);
        }
    }
    found
}

pub(super) fn flags(frame: &[u8]) -> u8 {
    field(frame, 3).map_or(0, |flags| flags[0])
}

/// The code of the status in a frame.
pub(super) fn code(frame: &[u8]) -> Option<Code> {
    let status = field(frame, 7)?;
    Code::from_number(i32::from(field(&status, 1)?[0]))
}

impl Bench {
    /// Opens a stream as `Micro-Stream` says, and returns what comes back.
    pub(super) async fn open(
        &self,
        method: &str,
        says: &str,
        payload: &'static [u8],
    ) -> Subscriber {
        let inbox = self.hand.new_inbox();
        let replies = self.hand.subscribe(inbox.clone()).await.unwrap();
        let mut headers = HeaderMap::new();
        if !says.is_empty() {
            headers.insert("Micro-Stream", says);
        }
        let subject = format!("{SERVICE}.{method}");
        let payload = Bytes::from_static(payload);
        let sent = match says {
            "" => self.hand.publish_with_reply(subject, inbox, payload).await,
            _ => {
                let sending = self
                    .hand
                    .publish_with_reply_and_headers(subject, inbox, headers, payload);
                sending.await
            }
        };
        sent.unwrap();
        replies
    }

    /// Opens a stream to be sent to; returns where its frames go, and what comes back.
    pub(super) async fn accepted(&self, method: &str) -> (String, Subscriber) {
        let mut replies = self.open(method, "v=1;w=100;b=100000;hb=5", b"").await;
        let accept = next(&mut replies).await;
        let text = |wanted| String::from_utf8(field(&accept.payload, wanted).unwrap()).unwrap();
        (format!("{SERVICE}._i.{}._up.{}", text(8), text(9)), replies)
    }

    pub(super) async fn send(&self, subject: &str, frame: impl Into<Bytes>) {
        self.hand
            .publish(subject.to_owned(), frame.into())
            .await
            .unwrap();
    }

    /// Reads on until the stream is reset, and says how.
    pub(super) async fn reset(&self, replies: &mut Subscriber) -> Option<Code> {
        loop {
            let frame = next(replies).await.payload;
            if flags(&frame) & RESET != 0 {
                return code(&frame);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_frames_messages_are_plain() {
    let bench = bench().await;
    // CountRequest { messages: 3 }: the first item has the number 0, and so no bytes at all.
    let mut replies = bench.open("Count", "", b"\x08\x03").await;
    let first = next(&mut replies).await;
    assert_eq!(&first.payload[..], b"");
    assert_eq!(header(&first, "Micro-Empty"), Some("1"));
    assert_eq!(header(&first, "Micro-Status"), None);
    for number in [1, 2] {
        let message = next(&mut replies).await;
        assert_eq!(&message.payload[..], &[8, number]);
        assert!(message.headers.is_none());
    }
    let end = next(&mut replies).await;
    assert!(end.payload.is_empty());
    assert_eq!(header(&end, "Micro-Status"), Some("0"));
    // All that the handler said besides messages.
    assert_eq!(header(&end, "kind"), Some("count"));
    assert_eq!(header(&end, "sent"), Some("3"));
    assert_eq!(header(&end, "last-bin"), Some("/wAN"));

    // No message at all, and a failure after two: { messages: 2, plan: "fail" }.
    let mut replies = bench.open("Count", "", b"").await;
    assert_eq!(header(&next(&mut replies).await, "Micro-Status"), Some("0"));
    let mut replies = bench.open("Count", "", b"\x08\x02\x1a\x04fail").await;
    next(&mut replies).await;
    next(&mut replies).await;
    let end = next(&mut replies).await;
    assert_eq!(header(&end, "Micro-Status"), Some("10"));
    assert_eq!(header(&end, "Nats-Service-Error"), Some("asked to fail"));

    // A client stream of one item, and of none.
    let mut replies = bench.open("Collect", "", b"\x12\x02hi").await;
    // Summary { messages: 1, bytes: 2, is_in_order: true }
    assert_eq!(
        &next(&mut replies).await.payload[..],
        b"\x08\x01\x10\x02\x18\x01"
    );
    assert_eq!(header(&next(&mut replies).await, "Micro-Status"), Some("0"));
    let mut replies = bench.open("Collect", "", b"").await;
    assert_eq!(&next(&mut replies).await.payload[..], b"\x18\x01");
    bench.scene.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_frames_ten_thousand_messages_are_the_most() {
    let bench = bench().await;
    for (messages, expected) in [(10_000, "0"), (10_001, "8")] {
        let payload = number(1, messages).leak();
        let mut replies = bench.open("Count", "", payload).await;
        for _ in 0..10_000 {
            let message = next(&mut replies).await;
            assert_eq!(header(&message, "Micro-Status"), None);
        }
        let end = next(&mut replies).await;
        assert_eq!(header(&end, "Micro-Status"), Some(expected));
    }
    // CountRequest { messages: 1, size: 2000000 }: a message that does not fit is not left out.
    let payload = [number(1, 1), number(2, 2_000_000)].concat().leak();
    let end = next(&mut bench.open("Count", "", payload).await).await;
    assert_eq!(header(&end, "Micro-Status"), Some("8"));
    bench.scene.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_opened_is_answered() {
    let bench = bench().await;
    let check = async |method: &str, says: &str, payload: &'static [u8], expected: &str| {
        let reply = next(&mut bench.open(method, says, payload).await).await;
        let status = header(&reply, "Micro-Status");
        assert_eq!(status, Some(expected), "{method} {says}");
    };
    check("Count", "v=2;w=1", b"", "12").await;
    check("Count", "w=1", b"", "12").await;
    check("Count", "garbage", b"", "12").await;
    check("Echo", "v=1;w=many", b"", "3").await;
    check("Repeat", "v=9", b"", "12").await;
    check("Count", "", b"\xff\xff\xff", "3").await;
    // With frames a status is a frame.
    let mut replies = bench.open("Count", "v=1", b"\xff\xff\xff").await;
    let end = next(&mut replies).await;
    assert_eq!(code(&end.payload), Some(Code::InvalidArgument));
    let mut headers = HeaderMap::new();
    headers.insert("Micro-Stream", "v=1");
    let instance = &bench.scene.server.instances()[0];
    let unknown = format!("{SERVICE}._i.{instance}.Nope");
    let reply = bench.hand.request_with_headers(unknown, headers, "".into());
    assert_eq!(header(&reply.await.unwrap(), "Micro-Status"), Some("12"));
    bench.scene.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_for_an_unknown_stream_is_answered_with_reset() {
    let bench = bench().await;
    let instance = &bench.scene.server.instances()[0];
    let unknown = format!("{SERVICE}._i.{instance}._up.0123");
    let answer = bench.hand.request(unknown, number(3, PING.into()).into());
    let answer = answer.await.unwrap();
    assert_eq!(flags(&answer.payload), RESET);
    assert_eq!(code(&answer.payload), Some(Code::Unavailable));
    // Whoever does not ask is told nothing, and nothing breaks.
    let mut all = bench.hand.subscribe("_INBOX.>").await.unwrap();
    // The call's frames come over another connection.
    bench.hand.flush().await.unwrap();
    let unknown = format!("{SERVICE}._i.{instance}._up.4567");
    bench.send(&unknown, number(1, 1)).await;
    bench.scene.client.repeat(item(1)).await.unwrap();
    while !next(&mut all).await.payload.starts_with(&[8, 1]) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_of_streams_are_used_again() {
    let bench = bench().await;
    let mut openings = bench.hand.subscribe(format!("{SERVICE}.*")).await.unwrap();
    let mut frames = bench
        .hand
        .subscribe(format!("{SERVICE}._i.>"))
        .await
        .unwrap();
    bench
        .hand
        .request("nobody.there", "".into())
        .await
        .unwrap_err();
    let mut slots = std::collections::HashSet::new();
    for _ in 0..200 {
        let mut items = bench.scene.client.count(count(1, "wait")).await.unwrap();
        items.message().await.unwrap().unwrap();
        drop(items);
        let slot = next(&mut openings).await.reply.unwrap();
        let slot = slot
            .rsplit_once('.')
            .unwrap()
            .1
            .split_once('-')
            .unwrap()
            .0
            .to_owned();
        slots.insert(slot);
    }
    assert!(
        slots.len() <= 64,
        "{} slots for one stream at a time",
        slots.len()
    );
    bench.scene.quiet().await;
    // And no stream is known that has ended.
    let up = next(&mut frames).await.subject;
    let answer = bench.hand.request(up, number(3, PING.into()).into()).await;
    assert_eq!(code(&answer.unwrap().payload), Some(Code::Unavailable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_lines_of_python_read_a_stream() {
    let bench = bench().await;
    let client = Script::file("streams.py").run(&bench.nats);
    within(Duration::from_secs(30), client).await;
}
