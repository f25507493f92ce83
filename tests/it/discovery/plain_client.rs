//! A plain NATS client beside the library, as the `nats` tool is one.

use async_nats::Client;
use serde_json::Value;

use crate::carriers::Carrier;

/// Connects a plain client; returns `None` for the carrier without a nats-server.
pub(super) async fn plain_client(carrier: &Carrier) -> Option<Client> {
    let nats = carrier.nats.as_ref()?;
    Some(async_nats::connect(nats.url()).await.unwrap())
}

/// Sends a request, and parses the JSON of the reply.
pub(super) async fn request_json(client: &Client, subject: &str) -> Value {
    let reply = client.request(subject.to_owned(), "{}".into()).await;
    let reply = reply.unwrap_or_else(|error| panic!("{subject}: {error}"));
    serde_json::from_slice(&reply.payload).unwrap()
}
