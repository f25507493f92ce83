//! Calls that are polled more often than they are woken, as beside others in one task: their backoffs last, and only
//! their deadline ends them.

use std::future::{IntoFuture as _, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use micro_runtime::{Bus, ClientOptions, Code, Status};
use micro_tests::StreamsHandler;
use micro_tests::behavior::{BehaviorClient, FlakyRequest};
use micro_tests::streams::{StreamsClient, StreamsServer};

use crate::carriers::{Carrier, on_both_carriers};
use crate::layered::with_and_without_layer;
use crate::streams::items::count;

on_both_carriers! {
    unary_calls_rest_between_attempts
    calls_whose_service_starts_late_rest_between_attempts
}

/// Number of calls that one task polls, more than it has budget for in one poll.
const CALLS: usize = 119;
/// Timeout of each call, which none needs.
const PATIENT: Duration = Duration::from_secs(30);

type PolledCall = Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

/// Polls every call that has not ended again and again, and returns the failures.
async fn poll_often(mut calls: Vec<PolledCall>) -> Vec<Status> {
    let mut failures = Vec::new();
    poll_fn(|cx| {
        calls.retain_mut(|call| match call.as_mut().poll(cx) {
            Poll::Ready(result) => {
                failures.extend(result.err());
                false
            }
            Poll::Pending => true,
        });
        cx.waker().wake_by_ref();
        match calls.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    failures
}

async fn unary_calls_rest_between_attempts(carrier: Carrier) {
    let fixture = carrier.serve().await;
    for (layer, options) in (0..).zip(with_and_without_layer(&ClientOptions::new())) {
        let call = |number: usize| -> PolledCall {
            // A client of its own has retries enough.
            let client: BehaviorClient = carrier.bus.client_with(options.clone());
            let call = client.flaky(FlakyRequest {
                key: format!("{layer}-{number}"),
                failures: 2,
                code: Code::Unavailable as i32,
            });
            let call = call.timeout(PATIENT).into_future();
            Box::pin(async move { call.await.map(drop) })
        };
        let failures = poll_often((0..CALLS).map(call).collect()).await;
        assert!(failures.is_empty(), "{failures:?}");
        assert_eq!(fixture.handler.flaky_calls(&format!("{layer}-7")), 3);
    }
}

async fn calls_whose_service_starts_late_rest_between_attempts(carrier: Carrier) {
    let opening = |client: &StreamsClient| -> PolledCall {
        let call = client.count(count(1, "")).timeout(PATIENT).into_future();
        Box::pin(async move { call.await.map(drop) })
    };
    for options in with_and_without_layer(&ClientOptions::new()) {
        let client: StreamsClient = carrier.bus.client_with(options.clone());
        let failures = poll_often((0..CALLS).map(|_| opening(&client)).collect()).await;
        // None waits for its deadline, since there is no service.
        assert_eq!(failures.len(), CALLS);
        let is_late = |status: &Status| status.code() == Code::DeadlineExceeded;
        assert!(!failures.iter().any(is_late), "{failures:?}");

        let bus = carrier.another_bus().await;
        let starting = tokio::spawn(start_late(bus));
        let failures = poll_often((0..CALLS).map(|_| opening(&client)).collect()).await;
        assert!(failures.is_empty(), "{failures:?}");
        let server = starting.await.unwrap();
        server.shutdown().await.unwrap();
    }
}

/// Starts the service while the calls to it rest for at least 50 ms.
async fn start_late(bus: Bus) -> micro_runtime::RunningServer {
    tokio::time::sleep(Duration::from_millis(10)).await; // sleep: the first attempts find no service
    let server = micro_runtime::Server::new(&bus);
    let server = server.add(StreamsServer::new(StreamsHandler::default()));
    server.start().await.unwrap()
}
