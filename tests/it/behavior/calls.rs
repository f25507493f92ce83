//! Replies, statuses, metadata and retries of unary calls, on both carriers.

use std::future::{IntoFuture as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::{Code, Context, Reason};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{Behavior, BehaviorClient, Blob, Empty, FailRequest};

use crate::behavior::requests::{blob, millis};
use crate::carriers::{Carrier, on_both_carriers};

on_both_carriers! {
    a_call_returns_the_reply
    empty_messages_are_sent_and_returned
    a_failure_keeps_its_code_and_message
    every_code_and_hostile_message_is_kept
    metadata_is_sent_both_ways
    spaces_at_the_ends_of_metadata_are_dropped
    invalid_metadata_fails_the_call
    a_call_without_responders_is_retried_and_unavailable
    a_call_that_only_a_wildcard_subscriber_receives_times_out
    a_retry_reaches_a_server_that_started_late
    a_panic_is_an_internal_error_and_the_service_continues
    concurrent_calls_get_their_own_replies
    the_late_reply_of_a_dropped_call_is_ignored
    calls_can_be_spawned
}

async fn a_call_returns_the_reply(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let reply = fixture.client.echo(blob(b"hello")).await.unwrap();
    assert_eq!(reply, blob(b"hello"));
}

async fn empty_messages_are_sent_and_returned(carrier: Carrier) {
    let fixture = carrier.serve().await;
    assert_eq!(fixture.client.nothing(Empty {}).await.unwrap(), Empty {});
    assert_eq!(fixture.client.echo(blob(b"")).await.unwrap(), blob(b""));
}

async fn a_failure_keeps_its_code_and_message(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let failure = FailRequest {
        code: 9,
        text: "not now".into(),
    };
    let status = fixture.client.fail(failure).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "not now");
    assert_eq!(status.reason(), None, "the status is from the handler");
}

async fn every_code_and_hostile_message_is_kept(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let text =
        "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n 100 %";
    for code in 1..=16 {
        let failure = FailRequest {
            code,
            text: text.into(),
        };
        let status = fixture.client.fail(failure).await.unwrap_err();
        assert_eq!(Some(status.code()), Code::from_number(code));
        assert_eq!(status.message(), text);
    }
}

async fn metadata_is_sent_both_ways(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let reply = fixture
        .client
        .describe(blob(b""))
        .header("trail", "one")
        .header("trail", "two")
        .header("id-bin", [0, 1, 254, 255])
        .with_metadata()
        .await
        .unwrap();
    assert_eq!(reply.message.method, "behavior.v1.Behavior.Describe");
    let mut seen = reply.message.metadata;
    seen.sort();
    assert_eq!(
        seen,
        ["id-bin=\\x00\\x01\\xfe\\xff", "trail=one", "trail=two"]
    );
    assert_eq!(reply.metadata.get("served-by"), Some("behaving"));
    assert_eq!(reply.metadata.get_bytes("blob-bin"), Some(&[0, 255][..]));
}

async fn spaces_at_the_ends_of_metadata_are_dropped(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let call = fixture.client.describe(blob(b""));
    let call = call.header("a", "  one two ").header("b", " ");
    let call = call.header("c-bin", b" raw ").header("d", "");
    let mut seen = call.await.unwrap().metadata;
    seen.sort();
    assert_eq!(seen, ["a=one two", "b=", "c-bin= raw ", "d="]);
}

async fn invalid_metadata_fails_the_call(carrier: Carrier) {
    let fixture = carrier.serve().await;
    for (name, value) in [("Micro-Timeout", "1"), ("a b", "x"), ("a", "x\r\ny")] {
        let status = fixture
            .client
            .echo(blob(b""))
            .header(name, value)
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{name}");
        assert_eq!(status.reason(), Some(Reason::BadHeader));
    }
}

async fn a_call_without_responders_is_retried_and_unavailable(carrier: Carrier) {
    let client: BehaviorClient = carrier.bus.client();
    let started = Instant::now();
    let status = client.echo(blob(b"")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.reason(), Some(Reason::NoResponders));
    let text = status.message();
    assert!(
        text.starts_with("no instance serves behavior.v1.Behavior.Echo: "),
        "{text}"
    );
    let elapsed = started.elapsed();
    assert!(
        elapsed >= Duration::from_millis(50),
        "{elapsed:?}: no retry"
    );
    // One retry ends it, and not the deadline of 5 s.
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
}

async fn a_call_that_only_a_wildcard_subscriber_receives_times_out(carrier: Carrier) {
    let Some(nats) = carrier.bus.nats() else {
        return;
    };
    let _listener = nats.subscribe(">").await.unwrap();
    let client: BehaviorClient = carrier.bus.client();
    let status = client
        .echo(blob(b""))
        .timeout(Duration::from_millis(300))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

async fn a_retry_reaches_a_server_that_started_late(carrier: Carrier) {
    let client: BehaviorClient = carrier.bus.client();
    let mut call = pin!(client.echo(blob(b"late")).into_future());
    // The first request is sent before the service subscribes, and has no responders.
    poll_fn(|cx| {
        assert!(call.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    let fixture = carrier.serve().await;
    assert_eq!(call.await.unwrap(), blob(b"late"));
    drop(fixture);
}

async fn a_panic_is_an_internal_error_and_the_service_continues(carrier: Carrier) {
    let fixture = carrier.serve().await;
    for _ in 0..20 {
        let status = fixture.client.panic(blob(b"secret")).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.reason(), Some(Reason::Panicked));
        assert!(!status.message().contains("secret"), "{status}");
        fixture.client.echo(blob(b"")).await.unwrap();
    }
}

async fn concurrent_calls_get_their_own_replies(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let calls = (0..5_000u32).map(|number| {
        let call = fixture.client.echo(Blob {
            data: number.to_be_bytes().to_vec(),
        });
        async move {
            let reply = call.await.unwrap();
            assert_eq!(reply.data, number.to_be_bytes());
        }
    });
    join_all(calls).await;
}

async fn the_late_reply_of_a_dropped_call_is_ignored(carrier: Carrier) {
    let fixture = carrier.serve().await;
    for _ in 0..100 {
        let call = async { fixture.client.wait(millis(50)).await };
        let timed_out = tokio::time::timeout(Duration::from_millis(1), call).await;
        assert!(timed_out.is_err());
        // The late reply of the dropped call must not become the reply of this one.
        assert_eq!(
            fixture.client.echo(blob(b"own")).await.unwrap(),
            blob(b"own")
        );
    }
}

async fn calls_can_be_spawned(carrier: Carrier) {
    // Generic over the handler: the compiler must see that its future is `Send`.
    async fn echo<T: Behavior>(handler: T) {
        let echo = handler.echo(Context::for_test(), Blob::default());
        echo.await.unwrap();
    }
    let fixture = carrier.serve().await;
    let client = fixture.client.clone();
    tokio::spawn(async move { client.echo(blob(b"")).await.unwrap() })
        .await
        .unwrap();
    let client = fixture.client.clone();
    tokio::spawn(async move { client.echo(blob(b"")).with_metadata().await.unwrap() })
        .await
        .unwrap();
    tokio::spawn(echo(BehaviorHandler::default()))
        .await
        .unwrap();
}
