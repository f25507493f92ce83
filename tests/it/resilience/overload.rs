//! Permits of a server, a service and a method, and the answer above them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::details::RetryInfo;
use micro_runtime::{ClientOptions, Code, ErrorKind, Reason, Server, ServiceOptions};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer};

use crate::behavior::requests::{blob, millis};
use crate::carriers::{World, on_both_carriers};
use crate::polling::until;

on_both_carriers! {
    a_service_has_a_limit
    a_method_gets_a_limit_by_option
    a_limit_tells_when_to_try_again
    options_for_no_method_are_refused
    a_flood_is_answered
    unique_reply_subjects_work_the_same
}

async fn a_service_has_a_limit(world: World) {
    let handler = BehaviorHandler::default();
    let options = ServiceOptions::new().max_concurrent(1);
    let server = Server::new(&world.bus).add_with(BehaviorServer::new(handler.clone()), options);
    let _server = server.start().await.unwrap();
    let client: BehaviorClient = world.bus.client();
    let running = tokio::spawn({
        let call = client.sleep(millis(60_000));
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

async fn a_method_gets_a_limit_by_option(world: World) {
    let handler = BehaviorHandler::default();
    let options = ServiceOptions::new()
        .method_max_concurrent("Sleep", 1)
        .method_max_concurrent("SleepSerially", 0);
    let server = Server::new(&world.bus).add_with(BehaviorServer::new(handler.clone()), options);
    let _server = server.start().await.unwrap();
    let client: BehaviorClient = world.bus.client();
    let hold = |call: micro_runtime::UnaryCall<_, _>| {
        tokio::spawn(async { call.timeout(Duration::from_secs(2)).await })
    };
    let rest = hold(client.sleep(millis(60_000)));
    let solo = hold(client.sleep_serially(millis(60_000)));
    until(|| handler.started() == 2).await;
    let status = client.sleep(millis(0)).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Overloaded));
    // The .proto's limit of one call is lifted.
    client.sleep_serially(millis(0)).await.unwrap();
    rest.await.unwrap().unwrap_err();
    solo.await.unwrap().unwrap_err();
}

async fn a_limit_tells_when_to_try_again(world: World) {
    let stage = world.serve_with(|server| server.max_in_flight(0)).await;
    let status = stage.client.echo(blob(b"")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let hint: RetryInfo = status.detail().unwrap();
    assert!(hint.retry_delay.unwrap().nanos > 0);
}

async fn options_for_no_method_are_refused(world: World) {
    let options = ServiceOptions::new().method_max_concurrent("Ehco", 1);
    let server = Server::new(&world.bus);
    let server = server.add_with(BehaviorServer::new(BehaviorHandler::default()), options);
    let error = server.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Service);
    assert!(error.to_string().contains("`Ehco`"), "{error}");
    assert!(error.to_string().contains("Echo"), "{error}");
}

async fn a_flood_is_answered(world: World) {
    // Somebody who listens to everything changes nothing.
    let listener = match world.bus.nats() {
        Some(nats) => Some(nats.subscribe(">").await.unwrap()),
        None => None,
    };
    let stage = world.serve_with(|server| server.max_in_flight(16)).await;
    let started = Instant::now();
    let calls = (0..10_000).map(|_| {
        let call = stage.client.sleep(millis(5)).no_retry();
        async move { call.timeout(Duration::from_secs(30)).await }
    });
    let results = join_all(calls).await;
    let done = results.iter().filter(|result| result.is_ok()).count();
    for status in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(status.reason(), Some(Reason::Overloaded), "{status}");
    }
    assert!(done >= 16, "{done}");
    assert!(started.elapsed() < Duration::from_secs(20));
    stage.client.echo(blob(b"after")).await.unwrap();
    drop(listener);
}

async fn unique_reply_subjects_work_the_same(world: World) {
    let stage = world.serve().await;
    let options = ClientOptions::new().unique_reply_subjects(true);
    let client: BehaviorClient = world.bus.client_with(options);
    for _ in 0..100 {
        assert_eq!(client.echo(blob(b"x")).await.unwrap(), blob(b"x"));
    }
    drop(stage);
}
