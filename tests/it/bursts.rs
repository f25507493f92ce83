//! Bursts of calls whose requests are sent in one batch: each call gets its reply or its deadline.

use std::future::IntoFuture as _;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{join, join_all, maybe_done};
use futures_util::poll;
use micro_runtime::{Bus, Code, ConnectOptions, Reason, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};

use crate::carriers::Carrier;
use crate::polling::wait_until_served;

/// Number of calls in a burst: more than all queues of a connection hold together.
const BURST: usize = 20_000;
const LIMIT: Duration = Duration::from_secs(120);

fn blob() -> Blob {
    Blob {
        data: vec![7; 1024],
    }
}

/// Starts a burst while nats-server is paused, and returns the results of its calls. nats-server resumes
/// after the calls have ended, or at once.
async fn call_paused_server(timeout: Duration, resumes_at_once: bool) -> Vec<Result<Blob, Code>> {
    let mut nats = NatsServer::start().await.unwrap();
    // On a busy machine the burst alone takes longer than the 2 s after which a silent connection is lost.
    let connect = || {
        let options = ConnectOptions::new().silence_timeout(LIMIT);
        Bus::connect_with(options, nats.url())
    };
    let (service, callers) = tokio::try_join!(connect(), connect()).unwrap();
    let handler = BehaviorHandler::on(&service);
    let server = Server::new(&service).add(BehaviorServer::new(handler));
    let server = server.start().await.unwrap();
    let client: BehaviorClient = callers.client();
    wait_until_served(&client).await;
    nats.pause().unwrap();
    let mut calls = pin!(join_all((0..BURST).map(|_| async {
        let call = client.echo(blob()).timeout(timeout);
        call.await.map_err(|status| status.code())
    })));
    let results = match poll!(calls.as_mut()) {
        std::task::Poll::Pending if resumes_at_once => {
            nats.resume().unwrap();
            calls.await
        }
        std::task::Poll::Pending => calls.await,
        std::task::Poll::Ready(_) => panic!("the calls ended before the paused server resumed"),
    };
    nats.resume().unwrap();
    wait_until_served(&client).await;
    let after = join_all((0..64).map(|_| async { client.echo(blob()).await })).await;
    assert!(after.iter().all(Result::is_ok), "{after:?}");
    server.shutdown().await.unwrap();
    results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_a_paused_nats_server_end_at_their_deadline() {
    within(LIMIT, async {
        let results = call_paused_server(Duration::from_millis(300), false).await;
        let is_late = |result: &Result<_, Code>| matches!(result, Err(Code::DeadlineExceeded));
        assert!(results.iter().all(is_late));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_a_paused_nats_server_are_served_when_it_resumes() {
    within(Duration::from_secs(120), async {
        let results = call_paused_server(Duration::from_secs(40), true).await;
        let failed = results.iter().filter(|result| result.is_err()).count();
        assert_eq!(failed, 0, "of {BURST} calls");
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
        wait_until_served(&client).await;
        callers.nats().unwrap().drain().await.unwrap();
        let longer_than_the_test = Duration::from_secs(600);
        let call = || client.echo(blob()).timeout(longer_than_the_test);
        // The connection's task may still accept a call before it ends, and then fails that call.
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

/// Client and server share one bus: calls that were made before the shutdown are served.
///
/// In every other round nats-server is paused while the calls are made and the shutdown begins, so that
/// none of them has been served by then. In the others the calls may be anywhere on their way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_before_a_shutdown_on_the_same_bus_are_served() {
    within(Duration::from_secs(120), async {
        for round in 0..40 {
            let is_paused = round % 2 == 0;
            let mut carrier = Carrier::nats().await;
            let fixture = carrier.serve().await;
            let client: BehaviorClient = carrier.bus.client();
            wait_until_served(&client).await;
            let nats = carrier.nats.as_mut().unwrap();
            if is_paused {
                nats.pause().unwrap();
            }
            let burst = (0..64).map(|_| client.echo(blob()).into_future());
            let mut calls = pin!(maybe_done(join_all(burst)));
            let mut shutdown = pin!(maybe_done(fixture.server.shutdown()));
            // The first poll sends the requests of all calls.
            let are_pending = poll!(calls.as_mut()).is_pending();
            let is_stopping = poll!(shutdown.as_mut()).is_pending();
            if is_paused {
                assert!(are_pending && is_stopping, "nats-server delivers nothing");
                nats.resume().unwrap();
            }
            join(calls.as_mut(), shutdown.as_mut()).await;
            shutdown.take_output().unwrap().unwrap();
            let results = calls.take_output().unwrap();
            let failures: Vec<_> = results.iter().filter_map(|r| r.as_ref().err()).collect();
            assert!(failures.is_empty(), "{failures:?}");
        }
    })
    .await;
}
