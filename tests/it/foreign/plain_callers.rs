//! A caller that knows protobuf and NATS alone: each of its calls ends as docs/PROTOCOL.md states, and the handlers
//! run on nothing else.

use std::collections::BTreeMap;

use micro_runtime::{Bus, RunningServer, Server};
use micro_testkit::NatsServer;
use micro_tests::behavior::BehaviorServer;
use micro_tests::streams::StreamsServer;
use micro_tests::{BehaviorHandler, StreamsHandler};

use super::plain_services::MAX_PAYLOAD;
use super::programs::{Language, Program};
use crate::until::until;

/// Requests of each method that every caller sends; those that fail are counted, too.
const REQUESTS: &[(&str, u64)] = &[
    ("Echo", 5),
    ("Nothing", 1),
    ("Fail", 1),
    ("WaitWithTimeout", 1),
    ("Wait", 2),
    ("Fill", 1),
    ("Describe", 1),
    ("Count", 1),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_caller_in_python() {
    check(Language::Python).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "second tier: cargo xtask test --slow foreign"]
async fn a_plain_caller_in_go() {
    check(Language::Go).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "second tier: cargo xtask test --slow foreign"]
async fn a_plain_caller_in_java() {
    check(Language::Java).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "second tier: cargo xtask test --slow foreign"]
async fn a_plain_caller_in_typescript() {
    check(Language::TypeScript).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "second tier: cargo xtask test --slow foreign"]
async fn a_large_reply_reaches_a_client_in_go() {
    check_large_reply(Language::Go).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "second tier: cargo xtask test --slow foreign"]
async fn a_large_reply_reaches_a_client_in_java() {
    check_large_reply(Language::Java).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "second tier: cargo xtask test --slow foreign"]
async fn a_large_reply_reaches_a_client_in_typescript() {
    check_large_reply(Language::TypeScript).await;
}

/// Runs a caller that takes a large reply in parts; NATS's own client libraries take one reply to a request alone.
async fn check_large_reply(language: Language) {
    let (nats, _server) = serve().await;
    language.run(Program::LargeReply, &nats).await;
}

async fn check(language: Language) {
    let (nats, server) = serve().await;
    language.run(Program::Caller, &nats).await;
    let requests = || {
        let mut counts = BTreeMap::new();
        for endpoint in server.stats().iter().flat_map(|service| &service.endpoints) {
            if endpoint.num_requests > 0 {
                *counts.entry(endpoint.name.clone()).or_default() += endpoint.num_requests;
            }
        }
        counts
    };
    let expected: BTreeMap<String, u64> = REQUESTS
        .iter()
        .map(|(method, count)| ((*method).to_owned(), *count))
        .collect();
    // The call that its caller has given up ends after it.
    until(|| requests().get("Wait") == expected.get("Wait")).await;
    assert_eq!(requests(), expected, "{language:?}");
}

async fn serve() -> (NatsServer, RunningServer) {
    let nats = NatsServer::builder().max_payload(MAX_PAYLOAD);
    let nats = nats.start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus)
        .add(BehaviorServer::new(BehaviorHandler::default()))
        .add(StreamsServer::new(StreamsHandler::default()));
    let server = server.start().await.unwrap();
    (nats, server)
}
