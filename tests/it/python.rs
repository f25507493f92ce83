//! Calls between Rust and plain nats-py programs, which have no library of this project.

use std::time::Duration;

use micro_runtime::{Bus, Code, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};

use crate::script::Script;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_calls_a_rust_server() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus)
        .add(BehaviorServer::new(BehaviorHandler::default()))
        .start()
        .await
        .unwrap();
    Script::file("client.py").run(&nats).await;
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rust_client_calls_a_python_responder() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let _responder = Script::file("responder.py").ready(&nats).await;
    let client: BehaviorClient = bus.client();
    within(Duration::from_secs(20), async {
        let reply = client.echo(Blob { data: b"hi".into() }).await.unwrap();
        assert_eq!(reply.data, b"hi from python");
        let status = client.fill(Default::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "no such thing");
    })
    .await;
}
