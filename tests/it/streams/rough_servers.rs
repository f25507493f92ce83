//! Servers by hand, which do what no server of ours does: what their callers see.

use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use micro_runtime::{Bus, Code, Reason, StreamOptions};
use micro_testkit::{NatsServer, within};
use micro_tests::streams::StreamsClient;

use super::by_hand::{RESET, SERVICE, bytes, code, flags, next, number};
use super::{Scene, count};

const END: u64 = 2;
const ACCEPT: u64 = 16;
const OPEN: u64 = 32;

struct Rough {
    _nats: NatsServer,
    hand: Client,
    openings: Subscriber,
    frames: Subscriber,
    client: StreamsClient,
}

async fn rough(method: &str) -> Rough {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let hand = async_nats::connect(nats.url()).await.unwrap();
    let openings = hand.subscribe(format!("{SERVICE}.{method}")).await.unwrap();
    let frames = hand.subscribe(format!("{SERVICE}._i.>")).await.unwrap();
    // The server knows both subscriptions.
    hand.request("nobody.there", "".into()).await.unwrap_err();
    Rough {
        hand,
        openings,
        frames,
        client: bus.client(),
        _nats: nats,
    }
}

impl Rough {
    async fn answer(&self, opening: &Message, frame: Vec<u8>) {
        let reply = opening.reply.clone().unwrap();
        self.hand.publish(reply, frame.into()).await.unwrap();
    }
}

fn accept(flags: u64, instance: &str) -> Vec<u8> {
    let name = bytes(8, instance.as_bytes());
    [
        number(3, ACCEPT | flags),
        name,
        bytes(9, b"stream"),
        number(5, 10),
        number(6, 1_000),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_answers_is_given_up() {
    let rough = rough("*").await;
    let started = Instant::now();
    let soon = StreamOptions::new().open_timeout(Duration::from_millis(200));
    let call = rough.client.count(count(1, "")).stream_options(soon);
    let status = call.no_retry().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(status.reason(), Some(Reason::PeerGone));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_accepts_late_is_told_that_nobody_waits() {
    let mut rough = rough("Echo").await;
    let opened = tokio::spawn({
        let client = rough.client.clone();
        async move { client.echo().open().await }
    });
    let opening = next(&mut rough.openings).await;
    opened.abort();
    assert!(opened.await.is_err());
    rough.answer(&opening, accept(0, "late")).await;
    let reset = next(&mut rough.frames).await;
    assert_eq!(
        reset.subject.as_str(),
        format!("{SERVICE}._i.late._up.stream")
    );
    assert_eq!(flags(&reset.payload), RESET);
    assert_eq!(code(&reset.payload), Some(Code::Canceled));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_breaks_the_protocol_is_an_error() {
    let lost = [number(1, 3), bytes(2, b"")].concat();
    let undecodable = [number(1, 2), bytes(2, b"\xff")].concat();
    let unfinished = [number(1, 2), bytes(2, b"\x08"), number(3, 1 | END)].concat();
    let cases = [
        (b"\xff\xff".to_vec(), Code::Internal, Reason::BadFrame),
        (lost, Code::DataLoss, Reason::FramesLost),
        (undecodable, Code::Internal, Reason::Undecodable),
        (unfinished, Code::Internal, Reason::BadFrame),
    ];
    let mut rough = rough("Count").await;
    for (frame, expected, reason) in cases {
        let call = tokio::spawn(rough.client.count(count(1, "")).into_future());
        let opening = next(&mut rough.openings).await;
        let open = [accept(OPEN, "rough"), number(1, 1), bytes(2, b"\x08\x09")].concat();
        rough.answer(&opening, open).await;
        let mut items = call.await.unwrap().unwrap();
        rough.answer(&opening, frame.clone()).await;
        let mut read = 0;
        let status = loop {
            match within(Duration::from_secs(5), items.message()).await {
                Ok(item) => {
                    read += 1;
                    assert_eq!((item.unwrap().number, read), (9, 1));
                }
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), expected, "{frame:?}: {status}");
        assert_eq!(status.reason(), Some(reason));
        // And the server is told, if it still listens.
        while flags(&next(&mut rough.frames).await.payload) & RESET == 0 {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_with_a_name_that_is_no_token_is_not_answered() {
    let mut rough = rough("Collect").await;
    for name in ["", "a.b", ">", "*", "a b", "a\r\nPUB x 0"] {
        let client = rough.client.clone();
        let call = tokio::spawn(async move {
            let mut collect = client.collect().open().await?;
            collect.send(super::item(1)).await?;
            collect.finish().await
        });
        let opening = next(&mut rough.openings).await;
        rough.answer(&opening, accept(0, name)).await;
        let call = within(Duration::from_secs(5), call).await.unwrap();
        let status = call.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{name:?}: {status}");
    }
    rough
        .hand
        .request("nobody.there", "".into())
        .await
        .unwrap_err();
    assert!(rough.frames.next().now_or_never().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_knows_no_streams_is_understood() {
    let mut rough = rough("Count").await;
    let call = tokio::spawn(rough.client.count(count(1, "")).into_future());
    let opening = next(&mut rough.openings).await;
    // It takes the request for a unary call, and answers with a message or in its own words.
    rough.answer(&opening, b"\x08\x05".to_vec()).await;
    let reply = within(Duration::from_secs(10), call).await.unwrap();
    match reply {
        Err(status) => assert_eq!(status.code(), Code::Internal, "{status}"),
        Ok(_) => panic!("a message is no stream"),
    }
    let call = tokio::spawn(rough.client.count(count(1, "")).into_future());
    let opening = next(&mut rough.openings).await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Service-Error-Code", "501");
    headers.insert("Nats-Service-Error", "not me");
    let reply = opening.reply.unwrap();
    let sent = rough.hand.publish_with_headers(reply, headers, "".into());
    sent.await.unwrap();
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.message(), "not me");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_instance_that_takes_the_stream_ends_it() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let hand = async_nats::connect(nats.url()).await.unwrap();
    let mut openings = hand.subscribe(format!("{SERVICE}.Echo")).await.unwrap();
    let scene = Scene::on(&bus).await;
    // Somebody who is in no queue group answers too.
    let accept = [number(3, 16), bytes(8, b"other"), bytes(9, b"stream")].concat();
    tokio::spawn(async move {
        let opening = openings.next().await.unwrap();
        hand.publish(opening.reply.unwrap(), accept.into())
            .await
            .unwrap();
        hand.flush().await.unwrap();
        openings.next().await
    });
    let (sender, mut items) = scene.client.echo().open().await.unwrap();
    let status = within(Duration::from_secs(5), items.message()).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.reason(), Some(Reason::BadFrame), "{status}");
    drop(sender);
}
