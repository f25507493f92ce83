//! Micro, used as its README shows: deadlines, limits and statistics are on.

use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use micro_runtime::{Bus, Context, ReplyStream, RunningServer, Server, Status, Streaming, service};

use crate::echo::ours::{Count, Demand, Echo, EchoClient, EchoServer, Pair, Payload};
use crate::failure::Result;
use crate::load::{LoadCounter, Window};
use crate::stack::caller::{Caller, IdleStream};
use crate::stack::{durable, events};

/// Number of methods of the service.
const METHODS: usize = 5;

/// Replies with the request.
pub(crate) struct EchoHandler;

/// A client and its bus.
#[derive(Clone)]
pub(crate) struct Client(EchoClient, Bus);

#[service]
impl Echo for EchoHandler {
    async fn unary(&self, _: Context, request: Payload) -> Result<Payload, Status> {
        Ok(request)
    }

    async fn swap(&self, _: Context, request: Pair) -> Result<Pair, Status> {
        Ok(Pair {
            left: request.right,
            right: request.left,
        })
    }

    async fn server_stream(
        &self,
        _: Context,
        demand: Demand,
    ) -> Result<impl ReplyStream<Payload>, Status> {
        let data = vec![7; demand.bytes as usize];
        let messages = (0..demand.messages).map(move |_| Ok(Payload { data: data.clone() }));
        Ok(futures_util::stream::iter(messages))
    }

    async fn client_stream(
        &self,
        _: Context,
        mut payloads: Streaming<Payload>,
    ) -> Result<Count, Status> {
        let mut messages = 0;
        while payloads.message().await?.is_some() {
            messages += 1;
        }
        Ok(Count { messages })
    }

    async fn bidirectional(
        &self,
        _: Context,
        payloads: Streaming<Payload>,
    ) -> Result<impl ReplyStream<Payload>, Status> {
        Ok(payloads.map(|payload| payload))
    }
}

/// Serves on an existing connection.
pub(crate) async fn serve_on(bus: &Bus) -> Result<RunningServer> {
    Ok(Server::new(bus)
        .add(EchoServer::new(EchoHandler))
        .start()
        .await?)
}

/// Serves `methods` further methods, which are never called, on the same connection.
pub(crate) async fn serve_more(bus: &Bus, methods: usize) -> Result<Vec<RunningServer>> {
    let mut servers = Vec::new();
    for number in 0..methods.div_ceil(METHODS) {
        let prefixed = bus.clone().with_prefix(&format!("idle{number}"))?;
        servers.push(async move { serve_on(&prefixed).await });
    }
    join_all(servers).await.into_iter().collect()
}

/// Connects a client.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    let bus = Bus::connect(url).await?;
    Ok(Client(bus.client(), bus))
}

impl Caller for Client {
    async fn unary(&self, data: Vec<u8>) -> Result<usize> {
        Ok(self.0.unary(Payload { data }).await?.data.len())
    }

    async fn with_header(&self, data: Vec<u8>) -> Result<usize> {
        let call = self.0.unary(Payload { data }).header("tenant", "acme");
        Ok(call.await?.data.len())
    }

    async fn swap(&self, left: u64) -> Result<u64> {
        Ok(self.0.swap(Pair { left, right: 7 }).await?.right)
    }

    async fn download(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        let demand = Demand {
            messages: u64::MAX,
            bytes: u32::try_from(bytes)?,
        };
        let mut messages = self.0.server_stream(demand).await?;
        let mut counter = LoadCounter::new(window);
        while messages.message().await?.is_some() && counter.record() {}
        Ok(counter)
    }

    async fn upload(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        let data = vec![7; bytes];
        let begun = Instant::now();
        let mut messages = self.0.client_stream().open().await?;
        let mut sent = LoadCounter::new(window);
        while sent.record() {
            messages.send(Payload { data: data.clone() }).await?;
        }
        let counted = messages.finish().await?.messages;
        Ok(LoadCounter::of(window, counted, begun.elapsed()))
    }

    async fn exchange(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        let (mut sender, mut replies) = self.0.bidirectional().open().await?;
        let sending = tokio::spawn(async move {
            let data = vec![7; bytes];
            while Instant::now() < window.end {
                sender.send(Payload { data: data.clone() }).await?;
            }
            sender.finish().await
        });
        let mut counter = LoadCounter::new(window);
        while replies.message().await?.is_some() {
            counter.record();
        }
        sending.await??;
        Ok(counter)
    }

    async fn ping_pong(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        let data = vec![7; bytes];
        let (mut sender, mut replies) = self.0.bidirectional().open().await?;
        let mut counter = LoadCounter::with_latencies(window);
        loop {
            sender.send(Payload { data: data.clone() }).await?;
            if replies.message().await?.is_none() || !counter.record() {
                return Ok(counter);
            }
        }
    }

    async fn publish(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        events::publish(&self.1, bytes, window).await
    }

    async fn store(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        durable::publish(&self.1, bytes, window).await
    }

    async fn consume(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        durable::consume(&self.1, bytes, window).await
    }

    async fn idle_stream(&self) -> Result<IdleStream> {
        let (mut sender, mut replies) = self.0.bidirectional().open().await?;
        sender.send(Payload::default()).await?;
        replies.message().await?;
        Ok(Box::new((sender, replies)))
    }
}
