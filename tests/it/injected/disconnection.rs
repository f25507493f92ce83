//! The connection is lost in each state of a call and of a stream: all that is in flight ends at once, and nothing
//! of it is left.

use std::future::IntoFuture as _;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::faults::{MessageKind, Rule};
use micro_runtime::{Bus, Code, Reason, Status};
use micro_testkit::within;
use micro_tests::behavior::{Blob, FlakyRequest, WaitRequest};
use micro_tests::streams::{CountRequest, Item};

use super::fixture::{Injected, with_and_without_a_layer};
use crate::until::until;

with_and_without_a_layer! {
    a_call_whose_request_is_on_its_way
    a_call_whose_handler_runs
    a_call_whose_reply_is_on_its_way
    a_large_request_and_a_large_reply_on_their_way
    a_stream_that_opens
    a_stream_that_is_read
    a_stream_whose_writer_waits
    a_stream_whose_client_has_finished
    an_idempotent_call_is_sent_again_and_served_after_the_reconnect
    calls_and_streams_fail_at_once_while_disconnected_and_never_run
    calls_and_streams_after_a_reconnect
}

/// Timeout of the calls, and the delay of what is on its way: both longer than a test takes.
const LONG: Duration = Duration::from_secs(60);

/// Checks that the loss of the connection has ended a call: at its deadline its reason would be another.
fn check_disconnected(status: &Status) {
    assert_eq!(
        (status.code(), status.reason()),
        (Code::Unavailable, Some(Reason::Disconnected)),
        "{status}"
    );
}

/// Loses the connection once `is_reached`, and checks that `calls` fail at once. The connection comes back, and
/// nothing of the calls is left.
async fn lose_connection<T>(
    injected: &Injected,
    call: impl Future<Output = Result<T, Status>>,
    is_reached: impl FnMut() -> bool,
) {
    let losing = async {
        until(is_reached).await;
        injected.faults.disconnect();
    };
    let (result, ()) = tokio::join!(call, losing);
    check_disconnected(&result.err().expect("the call was in flight"));
    injected.faults.clear();
    injected.faults.reconnect();
    let reply = injected.client.echo(Blob::default()).await;
    assert_eq!(reply.unwrap(), Blob::default());
}

async fn a_call_whose_request_is_on_its_way(injected: Injected) {
    let rule = injected
        .faults
        .add(Rule::delay("behavior.v1.Behavior.Echo", LONG..LONG));
    let lost = Blob {
        data: b"lost".to_vec(),
    };
    let call = injected.client.echo(lost.clone()).timeout(LONG);
    lose_connection(&injected, call.into_future(), || rule.applied() == 1).await;
    assert_eq!(injected.runs_on(&lost), 0);
}

async fn a_call_whose_handler_runs(injected: Injected) {
    let request = WaitRequest {
        milliseconds: 2_000,
    };
    let call = injected.client.wait(request).timeout(LONG);
    lose_connection(&injected, call.into_future(), || {
        injected.behavior.running() == 1
    })
    .await;
    // The handler runs to its end, and its reply matches no call.
    until(|| injected.behavior.running() == 0).await;
    assert_eq!(injected.behavior.dropped(), 0);
    until(|| injected.bus.unmatched_replies() == 1).await;
}

async fn a_call_whose_reply_is_on_its_way(injected: Injected) {
    let late = Rule::delay(">", LONG..LONG).of_kind(MessageKind::Reply);
    let rule = injected.faults.add(late);
    let call = injected.client.echo(Blob::default()).timeout(LONG);
    lose_connection(&injected, call.into_future(), || rule.applied() == 1).await;
    assert_eq!(injected.bus.unmatched_replies(), 0);
}

async fn a_large_request_and_a_large_reply_on_their_way(injected: Injected) {
    // A request in parts, then a reply in parts.
    for (number, size) in [(1, 1_200_000), (1_200, 1_000)] {
        for nth in [1, 2, 5] {
            let late = Rule::delay(">", LONG..LONG).of_kind(MessageKind::Frame);
            let rule = injected.faults.add(late.skip(nth - 1));
            let item = Item {
                number,
                data: vec![1; size],
                ..Item::default()
            };
            let call = injected.stream_client.repeat(item).timeout(LONG);
            lose_connection(&injected, call.into_future(), || rule.applied() > 0).await;
        }
    }
    injected.wait_until_idle().await;
}

async fn a_stream_that_opens(injected: Injected) {
    let request = CountRequest {
        plan: "never".into(),
        ..CountRequest::default()
    };
    let call = injected.stream_client.count(request).timeout(LONG);
    lose_connection(&injected, call.into_future(), || {
        injected.streams.live_calls() == 1
    })
    .await;
    // The opening is lost on its way.
    let rule = injected
        .faults
        .add(Rule::delay("streams.v1.Streams.Count", LONG..LONG));
    let call = injected.stream_client.count(CountRequest::default());
    let call = call.timeout(LONG).into_future();
    lose_connection(&injected, call, || rule.applied() == 1).await;
    injected.wait_until_idle().await;
}

async fn a_stream_that_is_read(injected: Injected) {
    for plan in ["", "wait"] {
        let request = CountRequest {
            messages: 100_000,
            pause_us: 500,
            plan: plan.into(),
            ..CountRequest::default()
        };
        let mut items = injected.stream_client.count(request).await.unwrap();
        let mut number = 0;
        let read = std::cell::Cell::new(0);
        let reading = async {
            loop {
                match items.message().await {
                    Ok(Some(item)) => {
                        assert_eq!(item.number, number);
                        number += 1;
                        read.set(number);
                    }
                    Ok(None) => return Ok(()),
                    Err(status) => return Err(status),
                }
            }
        };
        lose_connection(&injected, reading, || read.get() > 3).await;
        check_disconnected(&items.message().await.unwrap_err());
        injected.wait_until_idle().await;
    }
}

async fn a_stream_whose_writer_waits(injected: Injected) {
    let mut collect = injected.stream_client.collect().open().await.unwrap();
    let wait = Item {
        plan: "wait".into(),
        ..Item::default()
    };
    collect.send(wait).await.unwrap();
    let sent = std::cell::Cell::new((0_u64, Instant::now()));
    let writing = async {
        loop {
            let item = Item {
                data: vec![0; 100_000],
                ..Item::default()
            };
            collect.send(item).await?;
            sent.set((sent.get().0 + 1, Instant::now()));
        }
        #[expect(unreachable_code, reason = "the type of the block")]
        Ok::<(), Status>(())
    };
    // The window is full: the writer has made no progress for a while.
    let is_full = || sent.get().0 > 3 && sent.get().1.elapsed() > Duration::from_millis(100);
    lose_connection(&injected, writing, is_full).await;
    check_disconnected(&collect.finish().await.unwrap_err());
    injected.wait_until_idle().await;
}

async fn a_stream_whose_client_has_finished(injected: Injected) {
    let (mut sender, mut items) = injected.stream_client.echo().open().await.unwrap();
    let wait = Item {
        plan: "wait".into(),
        ..Item::default()
    };
    sender.send(wait).await.unwrap();
    sender.finish().await.unwrap();
    lose_connection(&injected, items.message(), || {
        injected.streams.items_taken() == 1
    })
    .await;
    injected.wait_until_idle().await;
}

async fn an_idempotent_call_is_sent_again_and_served_after_the_reconnect(injected: Injected) {
    let lost = Rule::delay("behavior.v1.Behavior.Flaky", LONG..LONG).times(1);
    let lost = injected.faults.add(lost);
    let request = FlakyRequest {
        key: "a".into(),
        ..FlakyRequest::default()
    };
    let call = injected.client.flaky(request).timeout(LONG);
    let losing = async {
        until(|| lost.applied() == 1).await;
        injected.faults.disconnect();
        injected.faults.reconnect();
    };
    let (reply, ()) = tokio::join!(call.into_future(), losing);
    assert_eq!(reply.unwrap().data, b"1");
    assert_eq!(injected.behavior.flaky_calls("a"), 1);
}

async fn calls_and_streams_fail_at_once_while_disconnected_and_never_run(injected: Injected) {
    let is_ready = || {
        let stats = injected.server.stats().remove(0);
        stats.data.unwrap().is_ready
    };
    assert!(is_ready());
    injected.faults.disconnect();
    assert!(!is_ready());
    let late = Blob {
        data: b"late".to_vec(),
    };
    let call = injected.client.echo(late.clone()).timeout(LONG);
    let status = call.await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
    assert!(
        status.message().contains("not connected to NATS"),
        "{status}"
    );
    let opening = injected.stream_client.count(CountRequest::default());
    let status = opening.await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
    injected.faults.reconnect();
    assert!(is_ready());
    injected.client.echo(Blob::default()).await.unwrap();
    assert_eq!(injected.runs_on(&late), 0);
    injected.wait_until_idle().await;
}

async fn calls_and_streams_after_a_reconnect(injected: Injected) {
    for round in 0..10_u8 {
        injected.faults.disconnect();
        injected.faults.reconnect();
        let calls = (0..50).map(|number| {
            let own = Blob {
                data: vec![round, number],
            };
            let call = injected.client.echo(own.clone());
            async move { assert_eq!(call.await.unwrap(), own) }
        });
        join_all(calls).await;
        let request = CountRequest {
            messages: 10,
            ..CountRequest::default()
        };
        let mut items = injected.stream_client.count(request).await.unwrap();
        for number in 0..10 {
            assert_eq!(items.message().await.unwrap().unwrap().number, number);
        }
        assert_eq!(items.message().await.unwrap(), None);
    }
    injected.wait_until_idle().await;
}

/// A publisher goes on while the connection is lost and restored: the events that were taken arrive, in its order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_were_taken_during_reconnects_arrive_in_order() {
    const EVENTS: u32 = 20_000;
    within(LONG, async {
        let (bus, faults) = Bus::in_process_with_faults(1);
        let mut events = bus.subscribe_raw("evt.number").open().await.unwrap();
        let publishing = tokio::spawn(async move {
            let mut taken = Vec::new();
            for number in 0..EVENTS {
                let text = number.to_string();
                if bus.publish_raw("evt.number", text.clone()).await.is_ok() {
                    taken.push(text);
                }
            }
            taken
        });
        while !publishing.is_finished() {
            faults.disconnect();
            tokio::task::yield_now().await;
            faults.reconnect();
            tokio::task::yield_now().await;
        }
        let taken = publishing.await.unwrap();
        assert!(!taken.is_empty());
        for text in taken {
            let event = events.next().await.unwrap();
            assert_eq!(event.payload, text);
        }
    })
    .await;
}
