//! Servers that break the stream protocol, late or silent ones, and the errors at their clients.

use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use micro_runtime::{Bus, Code, Reason, StreamOptions};
use micro_testkit::{NatsServer, within};
use micro_tests::streams::StreamsClient;
use tokio::time::Instant;

use super::fixture::StreamsFixture;
use super::frames::{
    ACCEPT, END, MORE, OF_CLIENT, OPEN, RESET, bytes_field, client_frame, flags, number_field,
    server_frame, status_code,
};
use super::items::{count, item};
use super::raw_client::{SERVICE, next_message};

use crate::round_trip::round_trip;

/// A plain NATS client that serves one method by hand, and a client of the service.
struct RawServer {
    _nats_server: NatsServer,
    nats: Client,
    /// Opening requests of the method.
    openings: Subscriber,
    /// Frames of clients to any instance.
    frames: Subscriber,
    client: StreamsClient,
}

impl RawServer {
    async fn start(method: &str) -> Self {
        let nats_server = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats_server.url()).await.unwrap();
        let nats = async_nats::connect(nats_server.url()).await.unwrap();
        let openings = nats.subscribe(format!("{SERVICE}.{method}")).await.unwrap();
        let frames = nats.subscribe(format!("{SERVICE}._i.>")).await.unwrap();
        round_trip(&nats).await;
        Self {
            nats,
            openings,
            frames,
            client: bus.client(),
            _nats_server: nats_server,
        }
    }

    async fn reply(&self, opening: &Message, fields: Vec<u8>) {
        self.reply_plainly(opening, server_frame(fields)).await;
    }

    async fn reply_plainly(&self, opening: &Message, payload: Vec<u8>) {
        let reply = opening.reply.clone().unwrap();
        self.nats.publish(reply, payload.into()).await.unwrap();
    }
}

/// An ACCEPT frame of the instance, with more flags.
fn accept(flags: u64, instance: &str) -> Vec<u8> {
    [
        number_field(3, ACCEPT | flags),
        bytes_field(8, instance.as_bytes()),
        bytes_field(9, b"stream"),
        number_field(5, 10),
        number_field(6, 1_000),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_accepts_is_given_up_after_the_open_timeout() {
    let server = RawServer::start("*").await;
    let started = Instant::now();
    let options = StreamOptions::new().open_timeout(Duration::from_millis(200));
    let call = server.client.count(count(1, "")).stream_options(options);
    let status = call.no_retry().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(status.reason(), Some(Reason::PeerGone));
    assert!(started.elapsed() < Duration::from_secs(2));
}

/// Openings that were refused wait for an ACCEPT as well, and those that were dropped and then refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_accept_of_a_dropped_call_is_reset_behind_a_flood_of_refusals() {
    // Of each kind, more than the 1,024 that a connection has room for.
    const REFUSED: usize = 1_100;
    let mut server = RawServer::start("Echo").await;
    let refusal = [number_field(3, RESET)].concat();
    for number in 0..2 * REFUSED {
        let client = server.client.clone();
        let opened = tokio::spawn(async move { client.echo().no_retry().open().await.map(drop) });
        let opening = next_message(&mut server.openings).await;
        if number % 2 == 0 {
            opened.abort();
            assert!(opened.await.is_err());
            server.reply(&opening, refusal.clone()).await;
        } else {
            server.reply(&opening, refusal.clone()).await;
            opened.await.unwrap().unwrap_err();
        }
    }
    check_late_accept(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_accept_of_a_dropped_call_is_reset() {
    check_late_accept(RawServer::start("Echo").await).await;
}

async fn check_late_accept(mut server: RawServer) {
    let opened = tokio::spawn({
        let client = server.client.clone();
        async move { client.echo().open().await }
    });
    let opening = next_message(&mut server.openings).await;
    opened.abort();
    assert!(opened.await.is_err());
    server.reply(&opening, accept(0, "late")).await;
    let reset = next_message(&mut server.frames).await;
    assert_eq!(
        reset.subject.as_str(),
        format!("{SERVICE}._i.late._up.stream")
    );
    assert_eq!(reset.payload[0], OF_CLIENT);
    assert_eq!(flags(&reset.payload), RESET);
    assert_eq!(status_code(&reset.payload), Some(Code::Canceled));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protocol_violations_end_the_stream_with_an_error() {
    let lost = [number_field(1, 3), bytes_field(2, b"")].concat();
    let undecodable = [number_field(1, 2), bytes_field(2, b"\xff")].concat();
    let unfinished = [
        number_field(1, 2),
        bytes_field(2, b"\x08"),
        number_field(3, MORE | END),
    ]
    .concat();
    let cases = [
        (b"\xff\xff".to_vec(), Code::Internal, Reason::BadFrame),
        (lost, Code::DataLoss, Reason::FramesLost),
        (undecodable, Code::Internal, Reason::Undecodable),
        (unfinished, Code::Internal, Reason::BadFrame),
    ];
    let mut server = RawServer::start("Count").await;
    for (frame, expected, reason) in cases {
        let call = tokio::spawn(server.client.count(count(1, "")).into_future());
        let opening = next_message(&mut server.openings).await;
        let open = [
            accept(OPEN, "raw"),
            number_field(1, 1),
            bytes_field(2, b"\x08\x09"),
        ]
        .concat();
        server.reply(&opening, open).await;
        let mut items = call.await.unwrap().unwrap();
        server.reply(&opening, frame.clone()).await;
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
        // The server receives a RESET.
        while flags(&next_message(&mut server.frames).await.payload) & RESET == 0 {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accept_with_an_invalid_instance_name_fails_the_open() {
    let mut server = RawServer::start("Collect").await;
    for name in ["", "a.b", ">", "*", "a b", "a\r\nPUB x 0"] {
        let client = server.client.clone();
        let call = tokio::spawn(async move {
            let mut collect = client.collect().open().await?;
            collect.send(item(1)).await?;
            collect.finish().await
        });
        let opening = next_message(&mut server.openings).await;
        server.reply(&opening, accept(0, name)).await;
        let call = within(Duration::from_secs(5), call).await.unwrap();
        let status = call.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{name:?}: {status}");
    }
    round_trip(&server.nats).await;
    assert!(server.frames.next().now_or_never().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_streams_fails_the_open() {
    let mut server = RawServer::start("Count").await;
    // It takes the opening for a unary request, and replies with a message or an ADR-32 error, or repeats what it gets.
    let messages = [b"\x08\x05".to_vec(), client_frame(accept(OPEN, "raw"))];
    let mut call = tokio::spawn(server.client.count(count(1, "")).into_future());
    let mut opening = next_message(&mut server.openings).await;
    for message in messages {
        server.reply_plainly(&opening, message).await;
        let reply = within(Duration::from_secs(10), call).await.unwrap();
        match reply {
            Err(status) => assert_eq!(status.reason(), Some(Reason::NotAService), "{status}"),
            Ok(_) => panic!("a message is no stream"),
        }
        call = tokio::spawn(server.client.count(count(1, "")).into_future());
        opening = next_message(&mut server.openings).await;
    }
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Service-Error-Code", "501");
    headers.insert("Nats-Service-Error", "not me");
    let reply = opening.reply.unwrap();
    let sent = server.nats.publish_with_headers(reply, headers, "".into());
    sent.await.unwrap();
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.message(), "not me");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_accept_ends_the_stream() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let second = async_nats::connect(nats.url()).await.unwrap();
    let mut openings = second.subscribe(format!("{SERVICE}.Echo")).await.unwrap();
    let fixture = StreamsFixture::start(&bus).await;
    // A subscriber outside the queue group accepts the stream too.
    let accept = [
        number_field(3, ACCEPT),
        bytes_field(8, b"other"),
        bytes_field(9, b"stream"),
    ]
    .concat();
    let accept = server_frame(accept);
    tokio::spawn(async move {
        let opening = openings.next().await.unwrap();
        second
            .publish(opening.reply.unwrap(), accept.into())
            .await
            .unwrap();
        second.flush().await.unwrap();
        openings.next().await
    });
    let (sender, mut items) = fixture.client.echo().open().await.unwrap();
    let status = within(Duration::from_secs(5), items.message()).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.reason(), Some(Reason::BadFrame), "{status}");
    drop(sender);
}
