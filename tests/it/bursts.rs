//! Many calls at once, whose requests leave together: none is lost, forgotten or starved.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::poll;
use micro_runtime::{Code, Reason};
use micro_testkit::within;
use micro_tests::behavior::{BehaviorClient, Blob};

use crate::carriers::Carrier;
use crate::faults::recovered;

/// More than all queues of a connection hold together.
const PILE: usize = 20_000;

fn blob() -> Blob {
    Blob {
        data: vec![7; 1024],
    }
}

/// How a pile of calls ends that begins while nats-server stands still.
async fn pile_up(timeout: Duration, resumes_at_once: bool) -> Vec<Result<Blob, Code>> {
    let mut carrier = Carrier::nats().await;
    let fixture = carrier.serve().await;
    let callers = carrier.another_bus().await;
    let client: BehaviorClient = callers.client();
    recovered(&client).await;
    carrier.nats.as_mut().unwrap().pause().unwrap();
    let mut calls = pin!(join_all((0..PILE).map(|_| async {
        let call = client.echo(blob()).timeout(timeout);
        call.await.map_err(|status| status.code())
    })));
    let results = match poll!(calls.as_mut()) {
        std::task::Poll::Pending if resumes_at_once => {
            carrier.nats.as_mut().unwrap().resume().unwrap();
            calls.await
        }
        std::task::Poll::Pending => calls.await,
        std::task::Poll::Ready(_) => panic!("they were answered by a server that stands still"),
    };
    carrier.nats.as_mut().unwrap().resume().unwrap();
    recovered(&client).await;
    let after = join_all((0..64).map(|_| async { client.echo(blob()).await })).await;
    assert!(after.iter().all(Result::is_ok), "{after:?}");
    fixture.server.shutdown().await.unwrap();
    results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pile_before_a_nats_server_that_stands_still_ends_at_its_deadline() {
    within(Duration::from_secs(60), async {
        let results = pile_up(Duration::from_millis(300), false).await;
        let is_late = |result: &Result<_, Code>| *result == Err(Code::DeadlineExceeded);
        assert!(results.iter().all(is_late));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pile_is_served_once_the_nats_server_goes_on() {
    within(Duration::from_secs(60), async {
        let results = pile_up(Duration::from_secs(40), true).await;
        let failed = results.iter().filter(|result| result.is_err()).count();
        assert_eq!(failed, 0, "of {PILE} calls");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_on_a_closed_connection_fail_at_once() {
    within(Duration::from_secs(20), async {
        let carrier = Carrier::nats().await;
        let fixture = carrier.serve().await;
        let callers = carrier.another_bus().await;
        let client: BehaviorClient = callers.client();
        recovered(&client).await;
        callers.nats().unwrap().drain().await.unwrap();
        let never = Duration::from_secs(600);
        let call = || client.echo(blob()).timeout(never);
        // Until the connection's task is gone a call may still be taken, and fails with it.
        for _ in 0..3 {
            let results = join_all((0..16).map(|_| async { call().await })).await;
            for status in results.into_iter().map(Result::unwrap_err) {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
            }
        }
        fixture.server.shutdown().await.unwrap();
    })
    .await;
}

/// Client and server share one bus: what was called before the stop is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_before_a_stop_on_the_same_bus_is_served() {
    within(Duration::from_secs(60), async {
        for _ in 0..40 {
            let carrier = Carrier::nats().await;
            let fixture = carrier.serve().await;
            let client: BehaviorClient = carrier.bus.client();
            recovered(&client).await;
            let mut calls = pin!(join_all(
                (0..64).map(|_| async { client.echo(blob()).await })
            ));
            assert!(poll!(calls.as_mut()).is_pending());
            let (results, stopped) = join(calls, fixture.server.shutdown()).await;
            stopped.unwrap();
            let failures: Vec<_> = results.iter().filter_map(|r| r.as_ref().err()).collect();
            assert!(failures.is_empty(), "{failures:?}");
        }
    })
    .await;
}
