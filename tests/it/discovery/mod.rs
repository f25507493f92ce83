//! Discovery: what instances say of themselves, and who reads it.

mod adr32;
mod edges;
mod health;
mod made;
mod permissions;
mod python;
mod queries;
mod rules;
mod scatter;
mod stats;
mod watch;

use async_nats::Client;
use micro_runtime::Bus;
use serde_json::Value;

use crate::carriers::Carrier;

/// A client that knows nothing of us, where there is a server.
async fn hand(carrier: &Carrier) -> Option<Client> {
    let nats = carrier.nats.as_ref()?;
    Some(async_nats::connect(nats.url()).await.unwrap())
}

/// The JSON that one subject is answered with.
async fn ask(hand: &Client, subject: &str) -> Value {
    let reply = hand.request(subject.to_owned(), "{}".into()).await;
    let reply = reply.unwrap_or_else(|error| panic!("{subject}: {error}"));
    serde_json::from_slice(&reply.payload).unwrap()
}

/// How many instances answer a ping.
async fn instances(bus: &Bus) -> usize {
    bus.discovery().ping().await.unwrap().len()
}
