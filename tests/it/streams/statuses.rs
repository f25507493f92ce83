//! How streams end that do not end well: refused, failed, panicked; and what goes back besides.

use micro_runtime::{Code, Metadata, Reason, Server, Status, Streaming};
use micro_tests::streams::{Item, StreamsClient};

use super::{Scene, count, item, plan};
use crate::carriers::{World, on_both_carriers};

on_both_carriers! {
    an_early_status_is_the_error_of_the_await
    an_error_comes_after_the_messages_before_it
    a_panic_is_internal_and_comes_after_the_messages
    overload_is_an_early_status
    nobody_there_is_an_early_status
    headers_come_first_and_trailers_last
    a_bad_header_is_the_error_of_the_call
    half_close_leaves_the_other_half_open
    a_client_sends_on_after_the_reply
}

/// Reads to the end: how many came, and the error that it ended with.
pub(super) async fn read(items: &mut Streaming<Item>) -> (u64, Option<Status>) {
    let mut messages = 0;
    loop {
        match items.message().await {
            Ok(Some(item)) => {
                assert_eq!(item.number, messages);
                messages += 1;
            }
            Ok(None) => return (messages, None),
            Err(status) => {
                // An error is said once; after it nothing comes.
                assert_eq!(items.message().await.unwrap(), None);
                return (messages, Some(status));
            }
        }
    }
}

/// Reads to an end in order, after so many messages.
pub(super) async fn complete(items: &mut Streaming<Item>, messages: u64) {
    let (read, failure) = read(items).await;
    assert!(failure.is_none(), "{failure:?} after {read}");
    assert_eq!(read, messages);
}

fn check_metadata(headers: &Metadata, kind: &str) {
    assert_eq!(headers.get("kind"), Some(kind));
    assert_eq!(headers.get_bytes("first-bin"), Some(&[0, 255, b'\n'][..]));
}

fn check_trailers(trailers: &Metadata) {
    assert_eq!(trailers.get_bytes("last-bin"), Some(&[255, 0, b'\r'][..]));
}

async fn an_early_status_is_the_error_of_the_await(world: World) {
    let scene = Scene::on(&world.bus).await;
    let status = scene.client.count(count(3, "refuse")).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.reason(), None, "it is the handler's own word");
    let status = scene.client.count(count(3, "panic-first")).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.reason(), Some(Reason::Panicked));
    scene.quiet().await;
}

async fn an_error_comes_after_the_messages_before_it(world: World) {
    let scene = Scene::on(&world.bus).await;
    for messages in [0, 1, 3, 5_000] {
        let mut items = scene.client.count(count(messages, "fail")).await.unwrap();
        let (read, end) = read(&mut items).await;
        assert_eq!(read, messages);
        let status = end.unwrap();
        assert_eq!(status.code(), Code::Aborted);
        assert_eq!(status.message(), "asked to fail");
        check_metadata(&items.metadata(), "count");
        check_trailers(&items.trailers());
    }
    for messages in [0, 1, 3, 5_000] {
        let mut collect = scene.client.collect().open().await.unwrap();
        for number in 0..messages {
            collect.send(item(number)).await.unwrap();
        }
        collect.send(plan("fail")).await.unwrap();
        let status = collect.finish().await.unwrap_err();
        assert_eq!(status.code(), Code::Aborted, "{status}");
        let (mut sender, mut items) = scene.client.echo().open().await.unwrap();
        for number in 0..messages {
            sender.send(item(number)).await.unwrap();
        }
        sender.send(plan("fail")).await.unwrap();
        // A sender that is told at once is told the same.
        sender.closed().await;
        assert_eq!(
            sender.send(item(0)).await.unwrap_err().code(),
            Code::Aborted
        );
        let (read, end) = read(&mut items).await;
        assert_eq!((read, end.unwrap().code()), (messages, Code::Aborted));
        assert_eq!(items.trailers().get("done"), Some("yes"));
    }
    scene.quiet().await;
}

async fn a_panic_is_internal_and_comes_after_the_messages(world: World) {
    let scene = Scene::on(&world.bus).await;
    for messages in [0, 1, 3, 5_000] {
        let mut items = scene.client.count(count(messages, "panic")).await.unwrap();
        let (read, end) = read(&mut items).await;
        assert_eq!(read, messages, "messages before the panic are not lost");
        let status = end.unwrap();
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.reason(), Some(Reason::Panicked));
        check_trailers(&items.trailers());
    }
    let mut collect = scene.client.collect().open().await.unwrap();
    collect.send(plan("panic")).await.unwrap();
    let status = collect.finish().await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Panicked));
    let (mut sender, mut items) = scene.client.echo().open().await.unwrap();
    sender.send(item(0)).await.unwrap();
    assert_eq!(items.message().await.unwrap().unwrap().number, 0);
    sender.send(plan("panic")).await.unwrap();
    let status = items.message().await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Panicked));
    scene.quiet().await;
    // The server goes on.
    let mut items = scene.client.count(count(3, "")).await.unwrap();
    assert_eq!(read(&mut items).await.0, 3);
}

async fn overload_is_an_early_status(world: World) {
    let set = |server: Server| server.max_streams(1);
    let scene = Scene::with(&world.bus, set).await;
    for _ in 0..3 {
        let held = scene.client.count(count(1, "wait")).await.unwrap();
        let refused = scene.client.count(count(1, "")).no_retry().await;
        let status = refused.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.reason(), Some(Reason::Overloaded));
        let refused = scene.client.collect().no_retry().open().await;
        assert_eq!(refused.unwrap_err().reason(), Some(Reason::Overloaded));
        let refused = scene.client.echo().no_retry().open().await;
        assert_eq!(refused.unwrap_err().reason(), Some(Reason::Overloaded));
        // Unary calls are not streams.
        scene.client.repeat(item(1)).await.unwrap();
        drop(held);
        // The place is free again as soon as the server has heard of it.
        scene.quiet().await;
        let mut items = scene.client.count(count(1, "")).await.unwrap();
        complete(&mut items, 1).await;
        scene.quiet().await;
    }
}

async fn nobody_there_is_an_early_status(world: World) {
    let nobody: StreamsClient = world.bus.client();
    let check = |status: Status| {
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.reason(), Some(Reason::NoResponders), "{status}");
        assert!(status.message().contains("streams.v1.Streams"), "{status}");
    };
    check(nobody.count(count(1, "")).await.unwrap_err());
    check(nobody.collect().open().await.unwrap_err());
    check(nobody.echo().open().await.unwrap_err());
}

async fn headers_come_first_and_trailers_last(world: World) {
    let scene = Scene::on(&world.bus).await;
    let call = scene.client.count(count(2, "")).header("tenant", "acme");
    let mut items = call.header("id-bin", [0, 159]).await.unwrap();
    check_metadata(&items.metadata(), "count");
    assert_eq!(items.metadata().get("tenant"), Some("acme"));
    complete(&mut items, 2).await;
    check_trailers(&items.trailers());
    assert_eq!(items.trailers().get("sent"), Some("2"));
    assert_eq!(items.metadata().get("sent"), None);

    let collect = scene.client.collect().header("tenant", "acme");
    let (_, metadata) = collect.open().await.unwrap().answer().await.unwrap();
    check_metadata(&metadata, "collect");
    check_trailers(&metadata);
    assert_eq!(metadata.get("tenant"), Some("acme"));

    let echo = scene.client.echo().header("tenant", "acme");
    let (mut sender, mut items) = echo.open().await.unwrap();
    sender.send(item(0)).await.unwrap();
    items.message().await.unwrap().unwrap();
    check_metadata(&items.metadata(), "echo");
    sender.finish().await.unwrap();
    assert_eq!(items.message().await.unwrap(), None);
    check_trailers(&items.trailers());
    assert_eq!(items.trailers().get("done"), Some("yes"));
    scene.quiet().await;
}

async fn a_bad_header_is_the_error_of_the_call(world: World) {
    let scene = Scene::on(&world.bus).await;
    let check = |status: Status| assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let call = scene.client.count(count(1, "")).header("Micro-Status", "0");
    check(call.await.unwrap_err());
    let call = scene.client.collect().header("nats-x", "0");
    check(call.open().await.unwrap_err());
    let call = scene.client.echo().header("line", "a\nb");
    check(call.open().await.unwrap_err());
    scene.quiet().await;
}

async fn half_close_leaves_the_other_half_open(world: World) {
    let scene = Scene::on(&world.bus).await;
    let (mut sender, mut items) = scene.client.echo().open().await.unwrap();
    for number in 0..10_000 {
        sender.send(item(number)).await.unwrap();
    }
    sender.finish().await.unwrap();
    complete(&mut items, 10_000).await;
    scene.quiet().await;
    // Nothing at all.
    let (sender, mut items) = scene.client.echo().open().await.unwrap();
    sender.finish().await.unwrap();
    complete(&mut items, 0).await;
    scene.quiet().await;
}

async fn a_client_sends_on_after_the_reply(world: World) {
    let scene = Scene::on(&world.bus).await;
    let mut collect = scene.client.collect().open().await.unwrap();
    collect.send(item(0)).await.unwrap();
    collect.send(plan("end")).await.unwrap();
    collect.closed().await;
    let status = collect.send(item(1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Canceled);
    // The reply is not lost for that.
    assert_eq!(collect.finish().await.unwrap().messages, 1);
    let (mut sender, mut items) = scene.client.echo().open().await.unwrap();
    sender.send(plan("end")).await.unwrap();
    complete(&mut items, 0).await;
    assert_eq!(
        sender.send(item(1)).await.unwrap_err().code(),
        Code::Canceled
    );
    drop(sender);
    scene.quiet().await;
}
