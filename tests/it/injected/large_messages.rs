//! Requests and replies in parts whose frames, openings and offers are lost, repeated or out of order.

use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::faults::{MessageKind, Rule};
use micro_runtime::{Code, Status};
use micro_tests::behavior::Empty;
use micro_tests::streams::Item;

use super::fixture::{Injected, with_and_without_a_layer};

with_and_without_a_layer! {
    repeated_parts_are_read_once
    repeated_offers_are_taken_once
    lost_parts_end_the_call_with_an_error
    parts_out_of_order_end_the_call_with_an_error
    a_large_request_that_is_lost_runs_no_handler
}

const MILLISECOND: Duration = Duration::from_millis(1);

/// Request of 1.2 MB whose reply is as large, and differs for each number.
fn large(number: u8) -> Item {
    Item {
        number: 1,
        data: vec![number; 1_200_000],
        ..Item::default()
    }
}

async fn repeat(injected: &Injected, item: Item) -> Result<Item, Status> {
    let call = injected.stream_client.repeat(item);
    call.timeout(Duration::from_secs(60)).no_retry().await
}

/// Checks that a call returned its own reply, or an error that a lost or misplaced frame causes.
fn check_own_or_failed(number: u8, result: Result<Item, Status>) -> Option<Code> {
    match result {
        Ok(reply) => {
            assert!(reply == large(number), "the reply of another call");
            None
        }
        Err(status) => {
            let allowed = [
                Code::DataLoss,
                Code::DeadlineExceeded,
                Code::Unavailable,
                Code::Internal,
            ];
            assert!(allowed.contains(&status.code()), "{status}");
            Some(status.code())
        }
    }
}

async fn repeated_parts_are_read_once(injected: Injected) {
    let twice = Rule::duplicate(">", 1, Duration::ZERO..Duration::ZERO);
    let twice = injected.faults.add(twice.of_kind(MessageKind::Frame));
    let calls = (0..4).map(|number| repeat(&injected, large(number)));
    for (number, reply) in (0..).zip(join_all(calls).await) {
        assert!(reply.unwrap() == large(number));
    }
    assert!(twice.applied() > 60, "{}", twice.applied());
    injected.wait_until_idle().await;
}

async fn repeated_offers_are_taken_once(injected: Injected) {
    let twice = Rule::duplicate(">", 2, Duration::ZERO..MILLISECOND * 3);
    injected.faults.add(twice.of_kind(MessageKind::Reply));
    let request = Item {
        number: 1_200,
        data: vec![9; 1_000],
        ..Item::default()
    };
    for _ in 0..3 {
        let reply = repeat(&injected, request.clone()).await.unwrap();
        assert_eq!(reply.data, vec![9; 1_200_000]);
    }
    injected.wait_until_idle().await;
}

/// Each frame in turn is lost, on a bus of its own, so that the calls wait side by side.
async fn lost_parts_end_the_call_with_an_error(injected: Injected) {
    let all = injected
        .faults
        .add(Rule::pass(">").of_kind(MessageKind::Frame));
    repeat(&injected, large(0)).await.unwrap();
    let frames = all.applied();
    assert!(frames > 15, "{frames}");
    let calls = (1..=frames).map(|n| async move {
        let injected = Injected::start(n, false).await;
        let lost = Rule::drop(">").of_kind(MessageKind::Frame).nth(n);
        let lost = injected.faults.add(lost);
        let number = n as u8;
        let failure = check_own_or_failed(number, repeat(&injected, large(number)).await);
        // How many grants are sent depends on when parts arrive: another call may have fewer frames than the first.
        if lost.applied() == 0 {
            assert!(failure.is_none(), "{failure:?}");
        }
        injected.client.nothing(Empty {}).await.unwrap();
        failure
    });
    let failures = join_all(calls).await.into_iter().flatten().count();
    assert!(failures as u64 > frames / 2, "{failures} of {frames}");
}

async fn parts_out_of_order_end_the_call_with_an_error(injected: Injected) {
    let all = injected
        .faults
        .add(Rule::pass(">").of_kind(MessageKind::Frame));
    repeat(&injected, large(0)).await.unwrap();
    let frames = all.applied();
    let calls = (1..frames).map(|n| async move {
        let injected = Injected::start(n, false).await;
        let swapped = Rule::reorder(">").of_kind(MessageKind::Frame);
        injected.faults.add(swapped.skip(n - 1).times(2));
        let number = n as u8;
        check_own_or_failed(number, repeat(&injected, large(number)).await)
    });
    let failures = join_all(calls).await.into_iter().flatten().count();
    assert!(failures > 0);
}

async fn a_large_request_that_is_lost_runs_no_handler(injected: Injected) {
    let lost = injected.faults.add(Rule::drop("streams.v1.Streams.Repeat"));
    let call = injected.stream_client.repeat(large(1)).no_retry();
    let status = call.timeout(MILLISECOND * 100).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert_eq!(lost.applied(), 1);
    assert!(injected.handled.lock().unwrap().is_empty());
    injected.wait_until_idle().await;
}
