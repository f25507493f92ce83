//! Statuses, headers and trailers of streams that are rejected, fail, panic or are half-closed.

use std::time::Duration;

use futures_util::StreamExt as _;
use micro_runtime::{Code, Metadata, Reason, Server, Status, StreamOptions};
use micro_tests::streams::StreamsClient;

use super::fixture::StreamsFixture;
use super::items::{count, expect_items, item, item_with_plan, read_to_end};
use crate::carriers::{Carrier, on_both_carriers_and_paused};

on_both_carriers_and_paused! {
    a_status_before_the_first_message_fails_the_open
    an_error_arrives_after_the_messages_before_it
    a_panic_arrives_as_internal_after_the_messages
    overload_fails_the_open
    no_responders_fail_the_open
    headers_come_first_and_trailers_last
    an_invalid_header_fails_the_call
    half_close_leaves_the_other_half_open
    sending_after_the_reply_fails_with_canceled
}

fn check_headers(headers: &Metadata, kind: &str) {
    assert_eq!(headers.get("kind"), Some(kind));
    assert_eq!(headers.get_bytes("first-bin"), Some(&[0, 255, b'\n'][..]));
}

fn check_trailers(trailers: &Metadata) {
    assert_eq!(trailers.get_bytes("last-bin"), Some(&[255, 0, b'\r'][..]));
}

async fn a_status_before_the_first_message_fails_the_open(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let status = fixture.client.count(count(3, "refuse")).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.reason(), None, "the status is from the handler");
    let status = fixture.client.count(count(3, "panic-first")).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.reason(), Some(Reason::Panicked));
    fixture.wait_until_idle().await;
}

async fn an_error_arrives_after_the_messages_before_it(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    for messages in [0, 1, 3, 5_000] {
        let mut items = fixture.client.count(count(messages, "fail")).await.unwrap();
        let (read, end) = read_to_end(&mut items).await;
        assert_eq!(read, messages);
        let status = end.unwrap();
        assert_eq!(status.code(), Code::Aborted);
        assert_eq!(status.message(), "asked to fail");
        check_headers(&items.metadata(), "count");
        check_trailers(&items.trailers());
        for _ in 0..2 {
            let again = items.message().await.unwrap_err();
            assert_eq!(again.message(), "asked to fail", "an error is no clean end");
        }
        assert!(
            items.next().await.is_none(),
            "a stream of futures ends after its error"
        );
    }
    for messages in [0, 1, 3, 5_000] {
        let mut collect = fixture.client.collect().open().await.unwrap();
        for number in 0..messages {
            collect.send(item(number)).await.unwrap();
        }
        collect.send(item_with_plan("fail")).await.unwrap();
        let status = collect.finish().await.unwrap_err();
        assert_eq!(status.code(), Code::Aborted, "{status}");
        let (mut sender, mut items) = fixture.client.echo().open().await.unwrap();
        for number in 0..messages {
            sender.send(item(number)).await.unwrap();
        }
        sender.send(item_with_plan("fail")).await.unwrap();
        // The sender gets the same status.
        sender.closed().await;
        assert_eq!(
            sender.send(item(0)).await.unwrap_err().code(),
            Code::Aborted
        );
        let (read, end) = read_to_end(&mut items).await;
        assert_eq!((read, end.unwrap().code()), (messages, Code::Aborted));
        assert_eq!(items.trailers().get("done"), Some("yes"));
    }
    fixture.wait_until_idle().await;
}

async fn a_panic_arrives_as_internal_after_the_messages(carrier: Carrier) {
    let mut fixture = StreamsFixture::start(&carrier.bus).await;
    for messages in [0, 1, 3, 5_000] {
        let mut items = fixture
            .client
            .count(count(messages, "panic"))
            .await
            .unwrap();
        let (read, end) = read_to_end(&mut items).await;
        assert_eq!(read, messages, "messages before the panic are not lost");
        let status = end.unwrap();
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.reason(), Some(Reason::Panicked));
        check_trailers(&items.trailers());
    }
    let mut collect = fixture.client.collect().open().await.unwrap();
    collect.send(item_with_plan("panic")).await.unwrap();
    let status = collect.finish().await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Panicked));
    let (mut sender, mut items) = fixture.client.echo().open().await.unwrap();
    sender.send(item(0)).await.unwrap();
    assert_eq!(items.message().await.unwrap().unwrap().number, 0);
    sender.send(item_with_plan("panic")).await.unwrap();
    let status = items.message().await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Panicked));
    fixture.expect_held_back_lines();
    fixture.wait_until_idle().await;
    // The server goes on.
    let mut items = fixture.client.count(count(3, "")).await.unwrap();
    assert_eq!(read_to_end(&mut items).await.0, 3);
}

async fn overload_fails_the_open(carrier: Carrier) {
    let set = |server: Server| server.max_streams(1);
    let fixture = StreamsFixture::start_with(&carrier.bus, set).await;
    let short = StreamOptions::new().open_timeout(Duration::from_secs(1));
    for _ in 0..3 {
        let held = fixture.client.count(count(1, "wait")).await.unwrap();
        let rejected = fixture.client.count(count(1, "")).stream_options(short);
        let rejected = rejected.no_retry().await;
        let status = rejected.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.reason(), Some(Reason::Overloaded));
        let rejected = fixture.client.collect().stream_options(short);
        let rejected = rejected.no_retry().open().await;
        assert_eq!(rejected.unwrap_err().reason(), Some(Reason::Overloaded));
        let rejected = fixture.client.echo().stream_options(short);
        let rejected = rejected.no_retry().open().await;
        assert_eq!(rejected.unwrap_err().reason(), Some(Reason::Overloaded));
        // Unary calls are not streams.
        fixture.client.repeat(item(1)).await.unwrap();
        drop(held);
        // The permit is free once the server has received the RESET.
        fixture.wait_until_idle().await;
        let mut items = fixture.client.count(count(1, "")).await.unwrap();
        expect_items(&mut items, 1).await;
        fixture.wait_until_idle().await;
    }
}

async fn no_responders_fail_the_open(carrier: Carrier) {
    let client: StreamsClient = carrier.bus.client();
    let check = |status: Status| {
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.reason(), Some(Reason::NoResponders), "{status}");
        assert!(status.message().contains("streams.v1.Streams"), "{status}");
    };
    check(client.count(count(1, "")).await.unwrap_err());
    check(client.collect().open().await.unwrap_err());
    check(client.echo().open().await.unwrap_err());
}

async fn headers_come_first_and_trailers_last(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let call = fixture.client.count(count(2, "")).header("tenant", "acme");
    let mut items = call.header("id-bin", [0, 159]).await.unwrap();
    check_headers(&items.metadata(), "count");
    assert_eq!(items.metadata().get("tenant"), Some("acme"));
    expect_items(&mut items, 2).await;
    check_trailers(&items.trailers());
    assert_eq!(items.trailers().get("sent"), Some("2"));
    assert_eq!(items.metadata().get("sent"), None);

    let collect = fixture.client.collect().header("tenant", "acme");
    let (_, metadata) = collect
        .open()
        .await
        .unwrap()
        .finish_with_metadata()
        .await
        .unwrap();
    check_headers(&metadata, "collect");
    check_trailers(&metadata);
    assert_eq!(metadata.get("tenant"), Some("acme"));

    let echo = fixture.client.echo().header("tenant", "acme");
    let (mut sender, mut items) = echo.open().await.unwrap();
    sender.send(item(0)).await.unwrap();
    items.message().await.unwrap().unwrap();
    check_headers(&items.metadata(), "echo");
    sender.finish().await.unwrap();
    assert_eq!(items.message().await.unwrap(), None);
    check_trailers(&items.trailers());
    assert_eq!(items.trailers().get("done"), Some("yes"));
    fixture.wait_until_idle().await;
}

async fn an_invalid_header_fails_the_call(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let check = |status: Status| assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let call = fixture
        .client
        .count(count(1, ""))
        .header("Micro-Status", "0");
    check(call.await.unwrap_err());
    let call = fixture.client.collect().header("nats-x", "0");
    check(call.open().await.unwrap_err());
    let call = fixture.client.echo().header("line", "a\nb");
    check(call.open().await.unwrap_err());
    fixture.wait_until_idle().await;
}

async fn half_close_leaves_the_other_half_open(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let (mut sender, mut items) = fixture.client.echo().open().await.unwrap();
    for number in 0..10_000 {
        sender.send(item(number)).await.unwrap();
    }
    sender.finish().await.unwrap();
    expect_items(&mut items, 10_000).await;
    fixture.wait_until_idle().await;
    // A stream without items.
    let (sender, mut items) = fixture.client.echo().open().await.unwrap();
    sender.finish().await.unwrap();
    expect_items(&mut items, 0).await;
    fixture.wait_until_idle().await;
}

async fn sending_after_the_reply_fails_with_canceled(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let mut collect = fixture.client.collect().open().await.unwrap();
    collect.send(item(0)).await.unwrap();
    collect.send(item_with_plan("end")).await.unwrap();
    collect.closed().await;
    let status = collect.send(item(1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Canceled);
    // The failed send does not lose the reply.
    assert_eq!(collect.finish().await.unwrap().messages, 1);
    let (mut sender, mut items) = fixture.client.echo().open().await.unwrap();
    sender.send(item_with_plan("end")).await.unwrap();
    expect_items(&mut items, 0).await;
    assert_eq!(
        sender.send(item(1)).await.unwrap_err().code(),
        Code::Canceled
    );
    drop(sender);
    fixture.wait_until_idle().await;
}
