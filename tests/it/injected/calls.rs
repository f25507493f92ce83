//! Unary calls whose requests and replies are lost, late, repeated or out of order.

use std::future::IntoFuture as _;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::faults::{MessageKind, Rule};
use micro_runtime::{Code, Reason, Status};
use micro_tests::behavior::{Blob, FlakyRequest};

use super::fixture::{Injected, with_and_without_a_layer};
use crate::until::until;

with_and_without_a_layer! {
    repeated_replies_reach_their_own_call_once
    replies_out_of_order_reach_their_own_calls
    replies_after_the_deadline_match_no_call
    replies_of_dropped_calls_match_no_call
    a_lost_request_ends_at_the_deadline_and_runs_no_handler
    a_lost_reply_ends_at_the_deadline_and_is_not_asked_for_again
    a_repeated_request_runs_its_handler_again_and_returns_one_reply
    a_late_request_runs_nothing_beyond_its_own_call
    a_call_that_expires_does_not_begin_late
}

const CALLS: u64 = 200;
const MILLISECOND: Duration = Duration::from_millis(1);

fn own(number: u64) -> Blob {
    Blob {
        data: number.to_be_bytes().to_vec(),
    }
}

/// Makes calls at once, each with data of its own, and checks that each returns its own data.
async fn expect_own_replies(injected: &Injected, numbers: std::ops::Range<u64>) {
    let calls = numbers.map(|number| async move {
        let reply = injected.client.echo(own(number)).await;
        assert_eq!(reply.unwrap(), own(number));
    });
    join_all(calls).await;
}

fn expect_deadline(result: Result<Blob, Status>) {
    let status = result.unwrap_err();
    assert_eq!(
        (status.code(), status.reason()),
        (Code::DeadlineExceeded, Some(Reason::Deadline)),
        "{status}"
    );
}

async fn repeated_replies_reach_their_own_call_once(injected: Injected) {
    let twice = Rule::duplicate(">", 2, Duration::ZERO..MILLISECOND * 3);
    let twice = injected.faults.add(twice.of_kind(MessageKind::Reply));
    expect_own_replies(&injected, 0..CALLS).await;
    expect_own_replies(&injected, CALLS..2 * CALLS).await;
    assert_eq!(twice.applied(), 2 * CALLS);
    until(|| injected.bus.unmatched_replies() == 4 * CALLS).await;
}

async fn replies_out_of_order_reach_their_own_calls(injected: Injected) {
    let late = Rule::delay(">", Duration::ZERO..MILLISECOND * 20);
    let late = injected.faults.add(late.of_kind(MessageKind::Reply));
    expect_own_replies(&injected, 0..CALLS).await;
    assert_eq!(late.applied(), CALLS);
    assert_eq!(injected.bus.unmatched_replies(), 0);
}

async fn replies_after_the_deadline_match_no_call(injected: Injected) {
    // Far above the timeout: on a busy machine a call may end long after its deadline.
    let late = Rule::delay(">", MILLISECOND * 2_000..MILLISECOND * 2_100);
    let late = late.of_kind(MessageKind::Reply).times(CALLS);
    injected.faults.add(late);
    let calls = (0..CALLS).map(|number| {
        let call = injected.client.echo(own(number)).timeout(MILLISECOND * 20);
        async { expect_deadline(call.await) }
    });
    join_all(calls).await;
    // The slots of those calls are used again while their replies arrive.
    while injected.bus.unmatched_replies() < CALLS {
        expect_own_replies(&injected, CALLS..2 * CALLS).await;
        tokio::time::sleep(MILLISECOND * 10).await; // sleep: the late replies arrive between calls
    }
}

async fn replies_of_dropped_calls_match_no_call(injected: Injected) {
    // Their servers do not hear that they were dropped.
    injected
        .faults
        .add(Rule::drop("behavior.v1.Behavior._i._all._cancel"));
    let late = Rule::delay(">", MILLISECOND..MILLISECOND * 10);
    injected.faults.add(late.of_kind(MessageKind::Reply));
    for number in 0..CALLS {
        let mut call = std::pin::pin!(injected.client.echo(own(number)).into_future());
        assert!(futures_util::poll!(&mut call).is_pending());
    }
    expect_own_replies(&injected, CALLS..2 * CALLS).await;
    until(|| injected.bus.unmatched_replies() == CALLS).await;
}

async fn a_lost_request_ends_at_the_deadline_and_runs_no_handler(injected: Injected) {
    injected
        .faults
        .add(Rule::drop("behavior.v1.Behavior.Echo").times(1));
    let started = Instant::now();
    let lost = injected.client.echo(own(1)).timeout(MILLISECOND * 50);
    expect_deadline(lost.await);
    assert!(started.elapsed() >= MILLISECOND * 50);
    assert_eq!(injected.runs_on(&own(1)), 0);
    expect_own_replies(&injected, 2..3).await;
}

/// The handler may have acted, so that only the caller can decide to call again.
async fn a_lost_reply_ends_at_the_deadline_and_is_not_asked_for_again(injected: Injected) {
    let lost = Rule::drop(">").of_kind(MessageKind::Reply).times(2);
    let lost = injected.faults.add(lost);
    let call = injected.client.echo(own(1)).timeout(MILLISECOND * 50);
    expect_deadline(call.await);
    until(|| lost.applied() == 1).await;
    // Not even where the method is idempotent.
    let request = FlakyRequest {
        key: "a".into(),
        ..FlakyRequest::default()
    };
    let call = injected.client.flaky(request).timeout(MILLISECOND * 300);
    expect_deadline(call.await);
    until(|| lost.applied() == 2).await;
    expect_own_replies(&injected, 2..3).await;
    // Each handler has run once, and no third reply was sent.
    assert_eq!(injected.runs_on(&own(1)), 1);
    assert_eq!(injected.behavior.flaky_calls("a"), 1);
    assert_eq!(injected.handled.lock().unwrap().len(), 3);
    assert_eq!(injected.bus.unmatched_replies(), 0);
}

async fn a_repeated_request_runs_its_handler_again_and_returns_one_reply(injected: Injected) {
    let twice = Rule::duplicate("behavior.v1.Behavior.*", 1, Duration::ZERO..MILLISECOND * 5);
    injected.faults.add(twice);
    expect_own_replies(&injected, 0..CALLS).await;
    until(|| injected.bus.unmatched_replies() == CALLS).await;
    for number in 0..CALLS {
        assert_eq!(injected.runs_on(&own(number)), 2);
    }
}

/// A request that arrives after the deadline of its call: what runs is that request, and its reply matches no call.
async fn a_late_request_runs_nothing_beyond_its_own_call(injected: Injected) {
    let late = Rule::delay(
        "behavior.v1.Behavior.*",
        MILLISECOND * 2_000..MILLISECOND * 2_001,
    );
    injected.faults.add(late.times(1));
    expect_deadline(injected.client.echo(own(1)).timeout(MILLISECOND * 20).await);
    expect_own_replies(&injected, 2..CALLS).await;
    until(|| injected.runs_on(&own(1)) == 1).await;
    until(|| injected.bus.unmatched_replies() == 1).await;
    assert_eq!(injected.handled.lock().unwrap().len() as u64, CALLS - 1);
}

/// A request that is late runs all the same, unless it expires by the clock.
async fn a_call_that_expires_does_not_begin_late(injected: Injected) {
    const DELAY: Duration = Duration::from_millis(100);
    injected
        .faults
        .add(Rule::delay("behavior.v1.Behavior.Echo", DELAY..DELAY));
    let calls = (0..20).map(|number| {
        let call = injected.client.echo(own(number)).timeout(DELAY / 4);
        match number % 2 {
            0 => call.expires().into_future(),
            _ => call.into_future(),
        }
    });
    join_all(calls).await.into_iter().for_each(expect_deadline);
    until(|| injected.bus.unmatched_replies() == 20).await;
    let runs = |number| injected.runs_on(&own(number));
    let mut late = 0;
    for number in (0..20).step_by(2) {
        assert_eq!(runs(number), 0, "call {number}");
        late += runs(number + 1);
    }
    // On a busy machine the time of some has passed in the server, too.
    assert!(late > 0);
    // In time.
    let call = injected.client.echo(own(20)).timeout(DELAY * 100).expires();
    assert_eq!(call.await.unwrap(), own(20));
}
