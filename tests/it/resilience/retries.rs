//! Retries: which methods and codes are retried, how often, and the retry budget.

use std::time::Duration;

use micro_runtime::{Code, Reason};
use micro_tests::behavior::{BehaviorClient, FlakyRequest};
use tokio::time::Instant;

use crate::behavior::requests::blob;
use crate::carriers::{Carrier, on_both_carriers_and_paused};

on_both_carriers_and_paused! {
    an_idempotent_method_is_called_up_to_three_times
    a_non_idempotent_method_is_called_once
    other_codes_are_not_retried
    a_call_may_disable_retries
    retries_stay_within_the_deadline
    the_retry_budget_bounds_retries_when_every_call_fails
}

/// Number of `Code::Unavailable`.
const UNAVAILABLE: i32 = 14;

fn fail_at_first(key: &str, failures: u32, code: i32) -> FlakyRequest {
    FlakyRequest {
        key: key.into(),
        failures,
        code,
    }
}

async fn an_idempotent_method_is_called_up_to_three_times(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let reply = fixture
        .client
        .flaky(fail_at_first("a", 2, UNAVAILABLE))
        .await
        .unwrap();
    assert_eq!(reply.data, b"3");
    let reply = fixture
        .client
        .flaky(fail_at_first("b", 1, 8))
        .await
        .unwrap();
    assert_eq!(reply.data, b"2");
    let status = fixture
        .client
        .flaky(fail_at_first("c", 9, UNAVAILABLE))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(fixture.handler.flaky_calls("c"), 3);
}

async fn a_non_idempotent_method_is_called_once(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let status = fixture
        .client
        .flaky_non_idempotent(fail_at_first("a", 1, UNAVAILABLE))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(fixture.handler.flaky_calls("a"), 1);
}

async fn other_codes_are_not_retried(carrier: Carrier) {
    let fixture = carrier.serve().await;
    for code in (1..=16).filter(|code| ![8, UNAVAILABLE].contains(code)) {
        let key = code.to_string();
        fixture
            .client
            .flaky(fail_at_first(&key, 1, code))
            .await
            .unwrap_err();
        assert_eq!(fixture.handler.flaky_calls(&key), 1, "{code}");
    }
}

async fn a_call_may_disable_retries(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let call = fixture
        .client
        .flaky(fail_at_first("a", 1, UNAVAILABLE))
        .no_retry();
    call.await.unwrap_err();
    assert_eq!(fixture.handler.flaky_calls("a"), 1);
    fixture.server.shutdown().await.unwrap();
    let client: BehaviorClient = carrier.bus.client();
    let started = Instant::now();
    let status = client.echo(blob(b"")).no_retry().await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::NoResponders));
    assert!(
        started.elapsed() < Duration::from_millis(50),
        "the call waited for a retry"
    );
}

async fn retries_stay_within_the_deadline(carrier: Carrier) {
    let fixture = carrier.serve().await;
    for number in 0..20 {
        let started = Instant::now();
        let call = fixture
            .client
            .flaky(fail_at_first(&number.to_string(), 9, UNAVAILABLE));
        let status = call.timeout(Duration::from_millis(20)).await.unwrap_err();
        let is_expected = matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded);
        assert!(is_expected, "{status}");
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}

async fn the_retry_budget_bounds_retries_when_every_call_fails(carrier: Carrier) {
    let fixture = carrier.serve().await;
    for _ in 0..300 {
        fixture
            .client
            .flaky(fail_at_first("a", u32::MAX, UNAVAILABLE))
            .await
            .unwrap_err();
    }
    let calls = fixture.handler.flaky_calls("a");
    // The budget starts with ten retries, and grows by one for every ten calls.
    assert!((300 + 30..=300 + 30 + 11).contains(&calls), "{calls}");
}
