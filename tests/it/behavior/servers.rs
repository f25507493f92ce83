//! Starting, load sharing, addressing and shutdown of servers, on both carriers.

use std::time::Duration;

use micro_runtime::{ClientOptions, Code, ErrorKind, Reason, Server, ServiceOptions};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};

use crate::behavior::requests::{blob, millis};
use crate::carriers::{Carrier, on_both_carriers};
use crate::until::until;

on_both_carriers! {
    two_instances_share_the_calls
    one_instance_can_be_called
    an_unknown_method_of_an_instance_is_unimplemented
    without_a_queue_group_every_instance_handles_each_call
    adding_a_service_twice_fails_the_start
    invalid_instance_and_queue_group_names_fail_the_start
    shutdown_finishes_accepted_calls
    calls_that_outlast_the_grace_period_are_unavailable
    a_dropped_server_stops_serving
    serve_until_stops_when_its_future_completes
}

async fn two_instances_share_the_calls(carrier: Carrier) {
    let first = carrier.serve().await;
    let bus = carrier.another_bus().await;
    let second = BehaviorHandler::on(&bus);
    let _server = Server::new(&bus)
        .add(BehaviorServer::new(second.clone()))
        .start()
        .await
        .unwrap();
    for _ in 0..200 {
        first.client.wait(millis(0)).await.unwrap();
    }
    assert_eq!(first.handler.started() + second.started(), 200);
    assert!(first.handler.started() > 20, "{}", first.handler.started());
    assert!(second.started() > 20, "{}", second.started());
}

async fn one_instance_can_be_called(carrier: Carrier) {
    let first = carrier.serve().await;
    let second = carrier.serve().await;
    let id = &second.server.instances()[0];
    let client: BehaviorClient = carrier.bus.client_with(ClientOptions::new().instance(id));
    for _ in 0..20 {
        client.wait(millis(0)).await.unwrap();
    }
    assert_eq!(first.handler.started(), 0);
    assert_eq!(second.handler.started(), 20);
    let unknown: BehaviorClient = carrier
        .bus
        .client_with(ClientOptions::new().instance("gone"));
    let status = unknown.wait(millis(0)).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::NoResponders));
}

async fn an_unknown_method_of_an_instance_is_unimplemented(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let Some(nats) = carrier.bus.nats() else {
        return;
    };
    let id = &fixture.server.instances()[0];
    for method in ["Nope", "_x", "Echo.more"] {
        let subject = format!("behavior.v1.Behavior._i.{id}.{method}");
        let reply = nats.request(subject, "".into()).await.unwrap();
        let headers = reply.headers.unwrap();
        assert_eq!(headers.get("Micro-Status").unwrap().as_str(), "12");
    }
}

async fn without_a_queue_group_every_instance_handles_each_call(carrier: Carrier) {
    let options = || ServiceOptions::new().queue_group("-");
    let mut handlers = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..3 {
        let handler = BehaviorHandler::default();
        let service = BehaviorServer::new(handler.clone());
        let server = Server::new(&carrier.bus).add_with(service, options());
        servers.push(server.start().await.unwrap());
        handlers.push(handler);
    }
    let client: BehaviorClient = carrier.bus.client();
    for round in 1..=100 {
        let text = format!("round {round}");
        client.wait(millis(0)).await.unwrap();
        let reply = client
            .echo(Blob {
                data: text.clone().into(),
            })
            .await;
        assert_eq!(
            reply.unwrap().data,
            text.as_bytes(),
            "a second reply of an old call"
        );
    }
    for handler in handlers {
        until(|| handler.started() == 100).await;
    }
}

async fn adding_a_service_twice_fails_the_start(carrier: Carrier) {
    let error = Server::new(&carrier.bus)
        .add(BehaviorServer::new(BehaviorHandler::default()))
        .add(BehaviorServer::new(BehaviorHandler::default()))
        .start()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Service);
    assert!(
        error.to_string().contains("behavior.v1.Behavior.Echo"),
        "{error}"
    );
}

async fn invalid_instance_and_queue_group_names_fail_the_start(carrier: Carrier) {
    for options in [
        ServiceOptions::new().instance("a b"),
        ServiceOptions::new().instance("a.b"),
        ServiceOptions::new().instance("*"),
        ServiceOptions::new().queue_group(""),
        ServiceOptions::new().queue_group("a b"),
    ] {
        let server = Server::new(&carrier.bus).add_with(
            BehaviorServer::new(BehaviorHandler::default()),
            options.clone(),
        );
        let error = server.start().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Service, "{options:?}");
    }
}

async fn shutdown_finishes_accepted_calls(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let running = tokio::spawn({
        let call = fixture.client.wait(millis(300));
        async { call.await }
    });
    until(|| fixture.handler.started() == 1).await;
    fixture.server.shutdown().await.unwrap();
    running.await.unwrap().unwrap();
    let status = fixture.client.echo(blob(b"")).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::NoResponders));
}

async fn calls_that_outlast_the_grace_period_are_unavailable(carrier: Carrier) {
    let fixture = carrier
        .serve_with(|server| server.grace(Duration::from_millis(100)))
        .await;
    let running = tokio::spawn({
        let call = fixture.client.wait(millis(60_000));
        async { call.timeout(Duration::from_secs(30)).await }
    });
    until(|| fixture.handler.started() == 1).await;
    fixture.server.shutdown().await.unwrap();
    let status = running.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.reason(), Some(Reason::ShuttingDown));
    assert_eq!(fixture.handler.dropped(), 1);
}

async fn a_dropped_server_stops_serving(carrier: Carrier) {
    let fixture = carrier.serve().await;
    fixture.client.echo(blob(b"")).await.unwrap();
    drop(fixture.server);
    loop {
        let call = fixture.client.echo(blob(b""));
        match call.timeout(Duration::from_millis(500)).await {
            Err(status) if status.reason() == Some(Reason::NoResponders) => break,
            _ => tokio::task::yield_now().await,
        }
    }
}

async fn serve_until_stops_when_its_future_completes(carrier: Carrier) {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let handler = BehaviorHandler::default();
    let server = Server::new(&carrier.bus).add(BehaviorServer::new(handler.clone()));
    let serving = tokio::spawn(server.serve_until(async {
        let _ = stopped.await;
    }));
    let client: BehaviorClient = carrier.bus.client();
    while client.echo(blob(b"")).await.is_err() {}
    let last = tokio::spawn({
        let call = client.wait(millis(200));
        async { call.await }
    });
    until(|| handler.started() == 1).await;
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    last.await.unwrap().unwrap();
}
