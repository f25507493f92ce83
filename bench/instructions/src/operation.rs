//! The counted operations, by name.

use std::error::Error;
use std::sync::Arc;

use futures_util::future::try_join_all;
use micro_runtime::{Bus, RunningServer, Server, Subscription};
use tokio::sync::Semaphore;

use crate::service::proto::{Demand, EchoClient, EchoServer, Payload, Tick};
use crate::service::{EchoHandler, TickCounter, data};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Calls in flight of [`Operation::UnaryConcurrent`], and events published before their subscriber
/// runs in [`Operation::Event`].
const BATCH: u64 = 64;

/// One thing whose instructions are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    /// A unary call, one after the other.
    Unary,
    /// A unary call, with 64 in flight.
    UnaryConcurrent,
    /// A server stream with a single message, from its request to its end.
    OpenStream,
    /// One message of a long server stream.
    ServerStreaming,
    /// One message of a long client stream.
    ClientStreaming,
    /// An event, published and handled.
    Event,
}

impl Operation {
    const ALL: [(&str, Self); 6] = [
        ("unary", Self::Unary),
        ("unary-64", Self::UnaryConcurrent),
        ("open-stream", Self::OpenStream),
        ("server-streaming", Self::ServerStreaming),
        ("client-streaming", Self::ClientStreaming),
        ("event", Self::Event),
    ];

    /// Returns the operation of that name.
    ///
    /// # Errors
    ///
    /// If there is none; the text lists those that exist.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let known = Self::ALL.iter().find(|(known, _)| *known == name);
        known.map(|(_, operation)| *operation).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!("no operation `{name}`; there are {}", names.join(", ")).into()
        })
    }

    /// Runs the operation `count` times, on a bus of its own.
    pub(crate) async fn run(self, count: u64) -> Result<()> {
        let bus = Bus::in_process();
        if let Self::Event = self {
            return events(&bus, count).await;
        }
        let server = Server::new(&bus).add(EchoServer::new(EchoHandler));
        let server = server.start().await?;
        let client: EchoClient = bus.client();
        match self {
            Self::Unary => unary(&client, count).await?,
            Self::UnaryConcurrent => unary_concurrent(&client, count).await?,
            Self::OpenStream => open_streams(&client, count).await?,
            Self::ServerStreaming => download(&client, count).await?,
            Self::ClientStreaming => upload(&client, count).await?,
            Self::Event => {}
        }
        stop(server).await
    }
}

async fn unary(client: &EchoClient, count: u64) -> Result<()> {
    for _ in 0..count {
        client.unary(Payload { data: data() }).await?;
    }
    Ok(())
}

async fn unary_concurrent(client: &EchoClient, count: u64) -> Result<()> {
    for _ in 0..count.div_ceil(BATCH) {
        let calls = (0..BATCH).map(|_| async { client.unary(Payload { data: data() }).await });
        try_join_all(calls).await?;
    }
    Ok(())
}

async fn open_streams(client: &EchoClient, count: u64) -> Result<()> {
    for _ in 0..count {
        download(client, 1).await?;
    }
    Ok(())
}

async fn download(client: &EchoClient, count: u64) -> Result<()> {
    let mut messages = client.download(Demand { messages: count }).await?;
    let mut received = 0;
    while messages.message().await?.is_some() {
        received += 1;
    }
    all(received, count)
}

async fn upload(client: &EchoClient, count: u64) -> Result<()> {
    let mut sender = client.upload().open().await?;
    for _ in 0..count {
        sender.send(Payload { data: data() }).await?;
    }
    all(sender.finish().await?.messages, count)
}

async fn events(bus: &Bus, count: u64) -> Result<()> {
    let handled = Arc::new(Semaphore::new(0));
    let counter = TickCounter(Arc::clone(&handled));
    let server = Server::new(bus).subscribe::<Tick>(counter, Subscription::queue("counter"));
    let server = server.start().await?;
    for _ in 0..count.div_ceil(BATCH) {
        for _ in 0..BATCH {
            bus.publish(&Tick { data: data() }).await?;
        }
        handled.acquire_many(BATCH as u32).await?.forget();
    }
    stop(server).await
}

async fn stop(server: RunningServer) -> Result<()> {
    Ok(server.shutdown().await?)
}

fn all(received: u64, sent: u64) -> Result<()> {
    match received == sent {
        true => Ok(()),
        false => Err(format!("sent {sent} messages and received {received}").into()),
    }
}

#[cfg(test)]
#[path = "operation_tests.rs"]
mod tests;
