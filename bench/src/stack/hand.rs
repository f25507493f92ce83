//! async-nats and prost by hand, as an experienced user writes it: the peer on the same nats-server.

use std::time::Duration;

use async_nats::subject::ToSubject;
use async_nats::{Client, HeaderMap, Message};
use futures_util::StreamExt as _;
use prost::Message as _;

use crate::echo::theirs::{Pair, Payload};
use crate::failure::{Failure, Result};
use crate::load::{LoadCounter, Window};
use crate::stack::caller::{Caller, IdleStream};
use crate::stack::{durable, events};

const UNARY: &str = "hand.v1.Echo.Unary";
const SWAP: &str = "hand.v1.Echo.Swap";
/// Number of methods of the service.
const METHODS: usize = 5;
const QUEUE_GROUP: &str = "q";

/// The task in which a handler runs.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum HandlerMode {
    /// The task that reads the subscription: the fastest, as long as no handler waits.
    Inline,
    /// A task of its own.
    Spawned,
}

/// Serves until its tasks are dropped with the runtime. `more_methods` further methods are subscribed
/// and never called.
pub(crate) async fn serve(url: &str, mode: HandlerMode, more_methods: usize) -> Result<()> {
    let client = async_nats::connect(url).await?;
    subscribe(&client, UNARY, mode, unary).await?;
    subscribe(&client, SWAP, mode, swap).await?;
    events::read_by_hand(&client).await?;
    for number in 0..more_methods.div_ceil(METHODS) {
        idle_service(&client, number).await?;
    }
    // The reply proves that the server has received the subscriptions before it.
    let barrier = client.request("nobody.serves.this", "".into());
    let _ = tokio::time::timeout(Duration::from_secs(5), barrier).await?;
    Ok(())
}

/// Subscribes as many methods as the service has, under another name.
pub(crate) async fn idle_service(client: &Client, number: usize) -> Result<()> {
    for method in 0..METHODS {
        let subject = format!("idle{number}.v1.Echo.Method{method}");
        subscribe(client, subject, HandlerMode::Inline, unary).await?;
    }
    Ok(())
}

async fn subscribe(
    client: &Client,
    subject: impl ToSubject,
    mode: HandlerMode,
    handler: fn(&[u8]) -> Result<Vec<u8>>,
) -> Result<()> {
    let mut requests = client
        .queue_subscribe(subject, QUEUE_GROUP.to_owned())
        .await?;
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            match mode {
                HandlerMode::Inline => reply_to(&client, request, handler).await,
                HandlerMode::Spawned => {
                    let client = client.clone();
                    tokio::spawn(async move { reply_to(&client, request, handler).await });
                }
            }
        }
    });
    Ok(())
}

async fn reply_to(client: &Client, request: Message, handler: fn(&[u8]) -> Result<Vec<u8>>) {
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

    async fn download(&self, _: usize, _: Window) -> Result<LoadCounter> {
        Err(no_streams())
    }

    async fn upload(&self, _: usize, _: Window) -> Result<LoadCounter> {
        Err(no_streams())
    }

    async fn exchange(&self, _: usize, _: Window) -> Result<LoadCounter> {
        Err(no_streams())
    }

    async fn ping_pong(&self, _: usize, _: Window) -> Result<LoadCounter> {
        Err(no_streams())
    }

    async fn publish(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        events::publish_by_hand(self, bytes, window).await
    }

    async fn store(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        durable::publish_by_hand(self, bytes, window).await
    }

    async fn consume(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        durable::consume_by_hand(self, bytes, window).await
    }

    async fn idle_stream(&self) -> Result<IdleStream> {
        Err(no_streams())
    }
}

fn no_streams() -> Failure {
    "nobody writes flow control by hand".into()
}
