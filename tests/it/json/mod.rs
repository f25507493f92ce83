//! Typed services that are called in JSON, by hand: over a NATS client that knows nothing of us.

mod failures;
mod golden;
mod python;
mod streams;

use async_nats::{HeaderMap, Message};
use micro_runtime::{Bus, RunningServer, Server};
use micro_testkit::NatsServer;
use micro_tests::MirrorHandler;
use micro_tests::json::MirrorServer;
use serde_json::Value;

struct Bench {
    nats: NatsServer,
    hand: async_nats::Client,
    server: RunningServer,
}

async fn bench() -> Bench {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus).add(MirrorServer::new(MirrorHandler));
    let server = server.start().await.unwrap();
    let hand = async_nats::connect(nats.url()).await.unwrap();
    Bench { nats, hand, server }
}

impl Bench {
    async fn ask(&self, method: &str, json: impl Into<Vec<u8>>) -> Message {
        self.ask_at(&format!("json.v1.Mirror.{method}"), json).await
    }

    async fn ask_at(&self, subject: &str, json: impl Into<Vec<u8>>) -> Message {
        let mut headers = HeaderMap::new();
        headers.append("Content-Type", "application/json");
        let asked = self
            .hand
            .request_with_headers(subject.to_owned(), headers, json.into().into());
        asked.await.unwrap()
    }
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let headers = message.headers.as_ref()?;
    headers.get(name).map(async_nats::HeaderValue::as_str)
}

fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

fn value(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}
