//! Concurrency limits of a server, a service and a method, and the replies to calls above them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::details::RetryInfo;
use micro_runtime::{Code, ErrorKind, Reason, Server, ServiceOptions};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer};

use crate::behavior::requests::{blob, millis};
use crate::carriers::{Carrier, on_both_carriers};
use crate::until::until;

on_both_carriers! {
    max_concurrent_of_a_service_rejects_calls
    method_max_concurrent_overrides_the_proto
    overload_replies_carry_retry_info
    options_for_an_unknown_method_fail_the_start
    every_call_of_a_flood_gets_a_reply
}

async fn max_concurrent_of_a_service_rejects_calls(carrier: Carrier) {
    let handler = BehaviorHandler::default();
    let options = ServiceOptions::new().max_concurrent(1);
    let server = Server::new(&carrier.bus).add_with(BehaviorServer::new(handler.clone()), options);
    let _server = server.start().await.unwrap();
    let client: BehaviorClient = carrier.bus.client();
    let running = tokio::spawn({
        let call = client.wait(millis(60_000));
        async { call.timeout(Duration::from_secs(2)).await }
    });
    until(|| handler.started() == 1).await;
    let status = client.echo(blob(b"")).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Overloaded));
    assert!(
        status.message().starts_with("behavior.v1.Behavior runs 1"),
        "{status}"
    );
    running.await.unwrap().unwrap_err();
}

async fn method_max_concurrent_overrides_the_proto(carrier: Carrier) {
    let handler = BehaviorHandler::default();
    let options = ServiceOptions::new()
        .method_max_concurrent("Wait", 1)
        .method_max_concurrent("WaitSerially", 0);
    let server = Server::new(&carrier.bus).add_with(BehaviorServer::new(handler.clone()), options);
    let _server = server.start().await.unwrap();
    let client: BehaviorClient = carrier.bus.client();
    let spawn = |call: micro_runtime::call::UnaryCall<_, _>| {
        tokio::spawn(async { call.timeout(Duration::from_secs(2)).await })
    };
    let wait = spawn(client.wait(millis(60_000)));
    let serial = spawn(client.wait_serially(millis(60_000)));
    until(|| handler.started() == 2).await;
    let status = client.wait(millis(0)).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Overloaded));
    // The option 0 lifts the limit of one call in the .proto file.
    client.wait_serially(millis(0)).await.unwrap();
    wait.await.unwrap().unwrap_err();
    serial.await.unwrap().unwrap_err();
}

async fn overload_replies_carry_retry_info(carrier: Carrier) {
    let fixture = carrier.serve_with(|server| server.max_concurrent(0)).await;
    let status = fixture.client.echo(blob(b"")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let hint: RetryInfo = status.detail().unwrap();
    assert!(hint.retry_delay.unwrap().nanos > 0);
}

async fn options_for_an_unknown_method_fail_the_start(carrier: Carrier) {
    let options = ServiceOptions::new().method_max_concurrent("Ehco", 1);
    let server = Server::new(&carrier.bus);
    let server = server.add_with(BehaviorServer::new(BehaviorHandler::default()), options);
    let error = server.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Service);
    assert!(error.to_string().contains("`Ehco`"), "{error}");
    assert!(error.to_string().contains("Echo"), "{error}");
}

async fn every_call_of_a_flood_gets_a_reply(carrier: Carrier) {
    // A subscriber to all subjects must not change the outcome.
    let wildcard_subscriber = match carrier.bus.nats() {
        Some(nats) => Some(nats.subscribe(">").await.unwrap()),
        None => None,
    };
    let fixture = carrier.serve_with(|server| server.max_concurrent(16)).await;
    let started = Instant::now();
    let calls = (0..10_000).map(|_| {
        let call = fixture.client.wait(millis(5)).no_retry();
        async move { call.timeout(Duration::from_secs(30)).await }
    });
    let results = join_all(calls).await;
    let done = results.iter().filter(|result| result.is_ok()).count();
    for status in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(status.reason(), Some(Reason::Overloaded), "{status}");
    }
    assert!(done >= 16, "{done}");
    assert!(started.elapsed() < Duration::from_secs(20));
    fixture.client.echo(blob(b"after")).await.unwrap();
    drop(wildcard_subscriber);
}
