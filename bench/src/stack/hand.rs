//! The peer on the same bus: async-nats and prost by hand, as a competent user would write it.

use std::time::Duration;

use async_nats::subject::ToSubject;
use async_nats::{Client, HeaderMap, Message};
use futures_util::StreamExt as _;
use prost::Message as _;

use crate::echo::theirs::{Pair, Payload};
use crate::load::{Count, Window};
use crate::stack::{Caller, Idle, durable, events};
use crate::{Failure, Result};

const UNARY: &str = "hand.v1.Echo.Unary";
const SWAP: &str = "hand.v1.Echo.Swap";
/// Of our service.
const METHODS: usize = 5;
const QUEUE: &str = "q";

/// Where a request is worked on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Handling {
    /// In the loop that reads the subscription: the fastest, as long as no handler waits.
    InPlace,
    /// In a task of its own.
    Spawned,
}

/// Serves until its tasks are dropped with the runtime; so many methods more are heard, where
/// nobody calls them.
pub(crate) async fn serve(url: &str, handling: Handling, more_methods: usize) -> Result<()> {
    let client = async_nats::connect(url).await?;
    subscribe(&client, UNARY, handling, unary).await?;
    subscribe(&client, SWAP, handling, swap).await?;
    events::read_by_hand(&client).await?;
    for number in 0..more_methods.div_ceil(METHODS) {
        idle_service(&client, number).await?;
    }
    // The answer proves that the server knows the subscriptions before it.
    let barrier = client.request("nobody.serves.this", "".into());
    let _ = tokio::time::timeout(Duration::from_secs(5), barrier).await?;
    Ok(())
}

/// Serves as many methods as our service has, under a name of its own.
pub(crate) async fn idle_service(client: &Client, number: usize) -> Result<()> {
    for method in 0..METHODS {
        let subject = format!("idle{number}.v1.Echo.Method{method}");
        subscribe(client, subject, Handling::InPlace, unary).await?;
    }
    Ok(())
}

async fn subscribe(
    client: &Client,
    subject: impl ToSubject,
    handling: Handling,
    handler: fn(&[u8]) -> Result<Vec<u8>>,
) -> Result<()> {
    let mut requests = client.queue_subscribe(subject, QUEUE.to_owned()).await?;
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            match handling {
                Handling::InPlace => answer(&client, request, handler).await,
                Handling::Spawned => {
                    let client = client.clone();
                    tokio::spawn(async move { answer(&client, request, handler).await });
                }
            }
        }
    });
    Ok(())
}

async fn answer(client: &Client, request: Message, handler: fn(&[u8]) -> Result<Vec<u8>>) {
    let Some(reply) = request.reply else {
        return;
    };
    if let Ok(payload) = handler(&request.payload) {
        let _ = client.publish(reply, payload.into()).await;
    }
}

fn unary(request: &[u8]) -> Result<Vec<u8>> {
    let request = Payload::decode(request)?;
    Ok(Payload { data: request.data }.encode_to_vec())
}

fn swap(request: &[u8]) -> Result<Vec<u8>> {
    let request = Pair::decode(request)?;
    let reply = Pair {
        left: request.right,
        right: request.left,
    };
    Ok(reply.encode_to_vec())
}

/// Connects a client.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    Ok(async_nats::connect(url).await?)
}

impl Caller for Client {
    async fn unary(&self, data: Vec<u8>) -> Result<usize> {
        let request = Payload { data }.encode_to_vec();
        let reply = self.request(UNARY, request.into()).await?;
        Ok(Payload::decode(reply.payload)?.data.len())
    }

    async fn with_header(&self, data: Vec<u8>) -> Result<usize> {
        let mut headers = HeaderMap::new();
        headers.insert("tenant", "acme");
        let request = Payload { data }.encode_to_vec();
        let reply = self.request_with_headers(UNARY, headers, request.into());
        Ok(Payload::decode(reply.await?.payload)?.data.len())
    }

    async fn swap(&self, left: u64) -> Result<u64> {
        let request = Pair { left, right: 7 }.encode_to_vec();
        let reply = self.request(SWAP, request.into()).await?;
        Ok(Pair::decode(reply.payload)?.right)
    }

    async fn download(&self, _: usize, _: Window) -> Result<Count> {
        Err(no_streams())
    }

    async fn upload(&self, _: usize, _: Window) -> Result<Count> {
        Err(no_streams())
    }

    async fn exchange(&self, _: usize, _: Window) -> Result<Count> {
        Err(no_streams())
    }

    async fn ping_pong(&self, _: usize, _: Window) -> Result<Count> {
        Err(no_streams())
    }

    async fn publish(&self, bytes: usize, window: Window) -> Result<Count> {
        events::publish_by_hand(self, bytes, window).await
    }

    async fn store(&self, bytes: usize, window: Window) -> Result<Count> {
        durable::publish_by_hand(self, bytes, window).await
    }

    async fn consume(&self, bytes: usize, window: Window) -> Result<Count> {
        durable::consume_by_hand(self, bytes, window).await
    }

    async fn idle_stream(&self) -> Result<Idle> {
        Err(no_streams())
    }
}

fn no_streams() -> Failure {
    "nobody writes flow control by hand".into()
}
