//! A plain NATS client that sends JSON to the running service `json.v1.Mirror`.

use async_nats::{HeaderMap, Message};
use micro_runtime::{Bus, RunningServer, Server};
use micro_testkit::NatsServer;
use micro_tests::MirrorHandler;
use micro_tests::json::MirrorServer;
use serde_json::Value;

/// The running service, and a plain client on the same nats-server.
pub(super) struct JsonFixture {
    pub(super) nats: NatsServer,
    pub(super) client: async_nats::Client,
    pub(super) server: RunningServer,
}

impl JsonFixture {
    pub(super) async fn start() -> Self {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let server = Server::new(&bus).add(MirrorServer::new(MirrorHandler));
        let server = server.start().await.unwrap();
        let client = async_nats::connect(nats.url()).await.unwrap();
        Self {
            nats,
            client,
            server,
        }
    }

    /// Calls a method of the service in JSON.
    pub(super) async fn call(&self, method: &str, json: impl Into<Vec<u8>>) -> Message {
        self.request(&format!("json.v1.Mirror.{method}"), json)
            .await
    }

    /// Sends a request with the content type of JSON.
    pub(super) async fn request(&self, subject: &str, json: impl Into<Vec<u8>>) -> Message {
        let mut headers = HeaderMap::new();
        headers.append("Content-Type", "application/json");
        let request =
            self.client
                .request_with_headers(subject.to_owned(), headers, json.into().into());
        request.await.unwrap()
    }
}

pub(super) fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let headers = message.headers.as_ref()?;
    headers.get(name).map(async_nats::HeaderValue::as_str)
}

pub(super) fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

pub(super) fn value(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}
