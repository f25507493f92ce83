//! Python on the other side: a client with three lines of nats-py, and a responder.

use std::time::Duration;

use micro_runtime::{Bus, Code, Server};
use micro_testkit::{NatsServer, Process, python, within, workspace_root};
use micro_tests::Behaving;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};

fn script(name: &str, nats: &NatsServer) -> Process {
    let mut command = python().unwrap();
    command.arg(workspace_root().join("tests/python").join(name));
    command.env("NATS_URL", nats.url());
    Process::spawn(command).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_calls_with_plain_requests() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus)
        .add(BehaviorServer::new(Behaving::default()))
        .start()
        .await
        .unwrap();
    let mut client = script("client.py", &nats);
    let status = client.wait(Duration::from_secs(60)).await.unwrap();
    assert!(status.success(), "{}", client.output());
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_responder_answers_a_rust_client() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let responder = script("responder.py", &nats);
    responder
        .wait_for_line("ready", Duration::from_secs(60))
        .await
        .unwrap();
    let client: BehaviorClient = bus.client();
    within(Duration::from_secs(20), async {
        let reply = client.echo(Blob { data: b"hi".into() }).await.unwrap();
        assert_eq!(reply.data, b"hi from python");
        let status = client.fill(Default::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "nothing here");
    })
    .await;
}
