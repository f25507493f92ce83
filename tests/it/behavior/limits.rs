//! Deadlines, concurrency limits and message sizes of unary calls, on both carriers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use micro_runtime::{ClientOptions, Code, Context, Metadata, Reason};
use micro_tests::behavior::{BehaviorClient, Blob, FailRequest, FillRequest};

use crate::behavior::requests::{blob, millis};
use crate::carriers::{Carrier, on_both_carriers};
use crate::until::until;

on_both_carriers! {
    a_call_ends_at_its_deadline
    the_default_timeout_is_5_s_and_call_client_or_method_may_set_one
    a_call_with_a_timeout_of_zero_is_not_sent
    a_handler_is_dropped_at_its_deadline
    a_nested_call_ends_at_its_parents_deadline
    a_server_at_max_in_flight_rejects_calls_at_once
    a_method_at_max_concurrent_rejects_calls_at_once
    a_reply_above_the_limit_is_resource_exhausted
    a_request_above_the_limit_is_resource_exhausted
    a_busy_handler_does_not_delay_other_calls
}

async fn a_call_ends_at_its_deadline(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let started = Instant::now();
    let status = fixture
        .client
        .wait(millis(10_000))
        .timeout(Duration::from_millis(100))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.reason(), Some(Reason::Deadline));
    assert!(started.elapsed() < Duration::from_secs(2));
}

async fn the_default_timeout_is_5_s_and_call_client_or_method_may_set_one(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let seen = fixture.client.describe(blob(b"")).await.unwrap();
    assert!((4_000..=5_000).contains(&seen.remaining_ms), "{seen:?}");
    let seen = fixture
        .client
        .describe(blob(b""))
        .timeout(Duration::from_secs(60))
        .await
        .unwrap();
    assert!((59_000..=60_000).contains(&seen.remaining_ms), "{seen:?}");
    let client: BehaviorClient = carrier
        .bus
        .client_with(ClientOptions::new().timeout(Duration::from_secs(2)));
    let seen = client.describe(blob(b"")).await.unwrap();
    assert!((1_000..=2_000).contains(&seen.remaining_ms), "{seen:?}");

    let started = Instant::now();
    let status = fixture
        .client
        .wait_with_timeout(millis(10_000))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(started.elapsed() < Duration::from_secs(2));
}

async fn a_call_with_a_timeout_of_zero_is_not_sent(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let status = fixture
        .client
        .wait(millis(0))
        .timeout(Duration::ZERO)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(fixture.handler.started(), 0);
    fixture
        .client
        .wait(millis(0))
        .timeout(Duration::MAX)
        .await
        .unwrap();
}

async fn a_handler_is_dropped_at_its_deadline(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let call = fixture.client.wait(millis(60_000));
    call.timeout(Duration::from_millis(100)).await.unwrap_err();
    until(|| fixture.handler.dropped() == 1).await;
}

async fn a_nested_call_ends_at_its_parents_deadline(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let status = fixture
        .client
        .relay(millis(60_000))
        .timeout(Duration::from_millis(200))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    // The nested call has a timeout of a minute; its handler ends at the parent's deadline anyway.
    until(|| fixture.handler.dropped() == 1).await;

    let expired = Context::for_test_with(Metadata::new(), Some(Duration::ZERO));
    let status = fixture.client.echo(blob(b"")).within(&expired).await;
    assert_eq!(status.unwrap_err().code(), Code::DeadlineExceeded);
}

async fn a_server_at_max_in_flight_rejects_calls_at_once(carrier: Carrier) {
    let fixture = carrier.serve_with(|server| server.max_concurrent(2)).await;
    let running = join_all((0..2).map(|_| {
        let call = fixture.client.wait(millis(60_000));
        async { call.timeout(Duration::from_secs(3)).await }
    }));
    let rejected = async {
        until(|| fixture.handler.started() == 2).await;
        let started = Instant::now();
        let status = fixture.client.echo(blob(b"")).await.unwrap_err();
        (status, started.elapsed())
    };
    let (_, (status, elapsed)) = tokio::join!(running, rejected);
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.reason(), Some(Reason::Overloaded));
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
    until(|| fixture.handler.dropped() == 2).await;
    // The permits are free once both replies are sent, of which nothing notifies this test.
    while fixture.client.echo(blob(b"")).await.is_err() {}
}

async fn a_method_at_max_concurrent_rejects_calls_at_once(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let running = tokio::spawn({
        let call = fixture.client.wait_serially(millis(60_000));
        async { call.timeout(Duration::from_secs(3)).await }
    });
    until(|| fixture.handler.started() == 1).await;
    let status = fixture.client.wait_serially(millis(0)).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Overloaded));
    assert!(
        status
            .message()
            .contains("behavior.v1.Behavior.WaitSerially")
    );
    fixture.client.wait(millis(0)).await.unwrap();
    running.abort();
}

async fn a_reply_above_the_limit_is_resource_exhausted(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let bytes = 1024 * 1024 - 64;
    let reply = fixture.client.fill(FillRequest { bytes }).await.unwrap();
    assert_eq!(reply.data.len(), bytes as usize);
    let reply = fixture
        .client
        .fill(FillRequest { bytes: 2 << 20 })
        .await
        .unwrap();
    assert_eq!(reply.data.len(), 2 << 20);
    let too_large = FillRequest { bytes: 5 << 20 };
    let Err(status) = fixture.client.fill(too_large).await else {
        panic!("5 MiB arrived");
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.reason(), Some(Reason::TooLarge));
    assert!(status.message().contains("4194304"), "{status}");

    let text = "x".repeat(900 * 1024);
    let failure = FailRequest { code: 5, text };
    let status = fixture.client.fail(failure).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

async fn a_request_above_the_limit_is_resource_exhausted(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let data = Bytes::from(vec![b'x'; 5 << 20]);
    let Err(status) = fixture.client.echo(Blob { data: data.into() }).await else {
        panic!("5 MiB arrived");
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.reason(), Some(Reason::TooLarge));
    fixture.client.echo(blob(b"still here")).await.unwrap();
}

async fn a_busy_handler_does_not_delay_other_calls(carrier: Carrier) {
    let fixture = carrier.serve().await;
    // The second call needs the other of two worker threads, and a loop that does not wait for the
    // handler of the first call.
    let busy = async { fixture.client.spin(millis(300)).await.unwrap() };
    let quick = async {
        let started = Instant::now();
        fixture.client.spin(millis(0)).await.unwrap();
        started.elapsed()
    };
    let (_, quick) = tokio::join!(busy, quick);
    assert!(quick < Duration::from_millis(290), "{quick:?}");
}
