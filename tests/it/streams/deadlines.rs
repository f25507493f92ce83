//! Deadlines of streams, streams nested in other calls, and idle streams.

use std::time::Duration;

use micro_runtime::{Bus, Code, Context, Metadata, Reason, Server, Status, StreamOptions};
use micro_runtime::{ReplyStream, Streaming, service};
use micro_testkit::within;
use micro_tests::streams::{CountRequest, Item, Streams, StreamsClient, StreamsServer, Summary};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::fixture::StreamsFixture;
use super::items::{count, item, item_with_plan, read_to_end};
use crate::carriers::{Carrier, on_both_carriers_and_paused};
use crate::until::until;

on_both_carriers_and_paused! {
    a_deadline_ends_a_stream_at_both_ends
    a_stream_has_no_default_deadline
    a_nested_stream_inherits_the_deadline
    a_nested_stream_ends_with_its_parent_call
    a_server_caps_the_timeout_of_streams
    heartbeats_keep_an_idle_stream_open
}

/// Timeout of the calls that must end by their deadline.
const SHORT_TIMEOUT: Duration = Duration::from_millis(150);

fn check_deadline_exceeded(status: &Status, started: Instant) {
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert_eq!(status.reason(), Some(Reason::Deadline));
    assert!(started.elapsed() < Duration::from_secs(2));
}

async fn a_deadline_ends_a_stream_at_both_ends(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let started = Instant::now();
    let never = fixture
        .client
        .count(count(1, "never"))
        .timeout(SHORT_TIMEOUT);
    check_deadline_exceeded(&never.await.unwrap_err(), started);
    fixture.wait_until_idle().await;

    let started = Instant::now();
    let mut items = fixture
        .client
        .count(count(3, "wait"))
        .timeout(SHORT_TIMEOUT)
        .await
        .unwrap();
    let left = items
        .metadata()
        .get("left-ms")
        .unwrap()
        .parse::<u64>()
        .unwrap();
    assert!(left <= 150, "remaining time at the handler: {left} ms");
    let (messages, failure) = read_to_end(&mut items).await;
    assert_eq!(messages, 3);
    check_deadline_exceeded(&failure.unwrap(), started);
    fixture.wait_until_idle().await;

    let started = Instant::now();
    let mut collect = fixture
        .client
        .collect()
        .timeout(SHORT_TIMEOUT)
        .open()
        .await
        .unwrap();
    collect.send(item_with_plan("wait")).await.unwrap();
    check_deadline_exceeded(&collect.finish().await.unwrap_err(), started);
    fixture.wait_until_idle().await;

    check_deadline_of_busy_stream(&fixture).await;
    let expired = fixture.client.echo().timeout(Duration::ZERO).open().await;
    assert_eq!(expired.unwrap_err().code(), Code::DeadlineExceeded);
}

/// Checks that the deadline ends a stream on which both ends keep sending.
async fn check_deadline_of_busy_stream(fixture: &StreamsFixture) {
    let started = Instant::now();
    let (mut sender, mut items) = fixture
        .client
        .echo()
        .timeout(SHORT_TIMEOUT)
        .open()
        .await
        .unwrap();
    let writes = async move {
        for number in 0.. {
            if let Err(status) = sender.send(item(number)).await {
                return status;
            }
            if number % 64 == 0 {
                // sleep: paused time advances only while every task waits.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        unreachable!("the deadline ends the stream")
    };
    let reads = async {
        loop {
            if let Err(status) = items.message().await {
                return status;
            }
        }
    };
    let (write, read) = tokio::join!(writes, reads);
    check_deadline_exceeded(&write, started);
    check_deadline_exceeded(&read, started);
    fixture.wait_until_idle().await;
}

async fn a_stream_has_no_default_deadline(carrier: Carrier) {
    let set = |server: Server| server.default_timeout(Duration::from_millis(100));
    let fixture = StreamsFixture::start_with(&carrier.bus, set).await;
    let request = CountRequest {
        pause_us: 100_000,
        ..count(3, "")
    };
    let mut items = fixture.client.count(request).await.unwrap();
    assert_eq!(items.metadata().get("left-ms"), None);
    let (messages, failure) = read_to_end(&mut items).await;
    assert_eq!((messages, failure.is_none()), (3, true));
}

async fn a_nested_stream_inherits_the_deadline(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let parent = Context::for_test_with(Metadata::new(), Some(SHORT_TIMEOUT));
    let started = Instant::now();
    let mut items = fixture
        .client
        .count(count(3, "wait"))
        .timeout(Duration::from_secs(60))
        .within(&parent)
        .await
        .unwrap();
    let (_, failure) = read_to_end(&mut items).await;
    check_deadline_exceeded(&failure.unwrap(), started);
    // The deadline travels in whole milliseconds, so that the server's comes up to one earlier.
    until(|| parent.remaining() == Some(Duration::ZERO)).await;
    let late = fixture.client.echo().within(&parent).open().await;
    assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
    fixture.wait_until_idle().await;
}

/// Handler that opens streams within its own call, and hands them to the test.
#[derive(Clone)]
struct NestingHandler {
    client: StreamsClient,
    nested: mpsc::UnboundedSender<Streaming<Item>>,
}

#[service]
impl Streams for NestingHandler {
    async fn count(
        &self,
        ctx: Context,
        request: CountRequest,
    ) -> Result<impl ReplyStream<Item>, Status> {
        let items = self.client.count(request).within(&ctx).await?;
        let _ = self.nested.send(items);
        Ok(futures_util::stream::pending())
    }

    async fn collect(&self, _: Context, _: Streaming<Item>) -> Result<Summary, Status> {
        Err(Status::unimplemented("not this one"))
    }

    async fn echo(
        &self,
        _: Context,
        items: Streaming<Item>,
    ) -> Result<impl ReplyStream<Item>, Status> {
        Ok(items)
    }

    async fn repeat(&self, ctx: Context, request: Item) -> Result<Item, Status> {
        let items = self.client.count(count(1, "wait")).within(&ctx).await?;
        let _ = self.nested.send(items);
        Ok(request)
    }
}

/// Serves a handler that opens streams of `client`; returns a client of it, and the streams.
async fn serve_nesting(
    bus: &Bus,
    client: &StreamsClient,
) -> (StreamsClient, mpsc::UnboundedReceiver<Streaming<Item>>) {
    let (nested, streams) = mpsc::unbounded_channel();
    let handler = NestingHandler {
        client: client.clone(),
        nested,
    };
    let outer = bus.clone().with_prefix("outer").unwrap();
    let server = Server::new(&outer).add(StreamsServer::new(handler));
    // Kept until the test's runtime ends.
    std::mem::forget(server.start().await.unwrap());
    (outer.client(), streams)
}

async fn a_nested_stream_ends_with_its_parent_call(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let (outer, mut nested) = serve_nesting(&carrier.bus, &fixture.client).await;
    // A unary parent that has replied.
    outer.repeat(item(1)).await.unwrap();
    let mut items = nested.recv().await.unwrap();
    let (_, failure) = within(Duration::from_secs(5), read_to_end(&mut items)).await;
    let failure = failure.unwrap();
    assert_eq!(failure.reason(), Some(Reason::ParentEnded), "{failure}");
    // A streaming parent whose caller drops it.
    let parent = outer.count(count(3, "wait")).await.unwrap();
    let mut items = nested.recv().await.unwrap();
    drop(parent);
    let (_, failure) = within(Duration::from_secs(5), read_to_end(&mut items)).await;
    assert_eq!(failure.unwrap().reason(), Some(Reason::ParentEnded));
    within(Duration::from_secs(5), fixture.handler.wait_until_idle()).await;
}

async fn a_server_caps_the_timeout_of_streams(carrier: Carrier) {
    let set = |server: Server| {
        server
            .max_timeout(SHORT_TIMEOUT)
            .min_timeout(Duration::from_millis(20))
    };
    let fixture = StreamsFixture::start_with(&carrier.bus, set).await;
    let started = Instant::now();
    let call = fixture.client.count(count(3, "wait"));
    let mut items = call.timeout(Duration::from_secs(60)).await.unwrap();
    let (messages, failure) = read_to_end(&mut items).await;
    assert_eq!(messages, 3);
    check_deadline_exceeded(&failure.unwrap(), started);
    let call = fixture.client.collect().timeout(Duration::from_millis(10));
    let status = call.open().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    fixture.wait_until_idle().await;
}

async fn heartbeats_keep_an_idle_stream_open(carrier: Carrier) {
    // Idle timeouts below the default heartbeat: both ends must send heartbeats more often.
    let options = StreamOptions::new().idle_timeout(Duration::from_millis(1_200));
    let fixture =
        StreamsFixture::start_with(&carrier.bus, |server| server.stream_options(options)).await;
    let call = fixture
        .client
        .count(count(1, "wait"))
        .stream_options(options);
    let mut items = call.await.unwrap();
    items.message().await.unwrap().unwrap();
    let (mut sender, mut echoes) = fixture
        .client
        .echo()
        .stream_options(options)
        .open()
        .await
        .unwrap();
    // sleep: longer than the idle timeout of both ends.
    tokio::time::sleep(Duration::from_millis(3_000)).await;
    sender.send(item(7)).await.unwrap();
    assert_eq!(echoes.message().await.unwrap().unwrap().number, 7);
    sender.finish().await.unwrap();
    assert!(echoes.message().await.unwrap().is_none());
    drop(items);
    fixture.wait_until_idle().await;
}
