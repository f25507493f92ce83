//! tonic over one HTTP/2 connection: the peer without a broker.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Instant;

use futures_util::{Stream, StreamExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use crate::echo::theirs::echo_client::EchoClient;
use crate::echo::theirs::echo_server::{Echo, EchoServer};
use crate::echo::theirs::{Count, Demand, Pair, Payload};
use crate::failure::Result;
use crate::load::{LoadCounter, Window};
use crate::stack::caller::{Caller, IdleStream};

/// Above the default of 200, which would limit the calls in flight to 200.
const MAX_CONCURRENT_STREAMS: u32 = 16 * 1024;
const QUEUE_LEN: usize = 128;

type Replies = Pin<Box<dyn Stream<Item = Result<Payload, Status>> + Send>>;

struct TonicEcho;

#[tonic::async_trait]
impl Echo for TonicEcho {
    type ServerStreamStream = Replies;
    type BidirectionalStream = Replies;

    async fn unary(&self, request: Request<Payload>) -> Result<Response<Payload>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn swap(&self, request: Request<Pair>) -> Result<Response<Pair>, Status> {
        let Pair { left, right } = request.into_inner();
        Ok(Response::new(Pair {
            left: right,
            right: left,
        }))
    }

    async fn server_stream(&self, demand: Request<Demand>) -> Result<Response<Replies>, Status> {
        let demand = demand.into_inner();
        let data = vec![7; demand.bytes as usize];
        let messages = (0..demand.messages).map(move |_| Ok(Payload { data: data.clone() }));
        Ok(Response::new(Box::pin(futures_util::stream::iter(
            messages,
        ))))
    }

    async fn client_stream(
        &self,
        payloads: Request<Streaming<Payload>>,
    ) -> Result<Response<Count>, Status> {
        let mut payloads = payloads.into_inner();
        let mut messages = 0;
        while payloads.message().await?.is_some() {
            messages += 1;
        }
        Ok(Response::new(Count { messages }))
    }

    async fn bidirectional(
        &self,
        payloads: Request<Streaming<Payload>>,
    ) -> Result<Response<Replies>, Status> {
        Ok(Response::new(Box::pin(payloads.into_inner())))
    }
}

/// Serves on a free port until the runtime ends, and returns the address.
pub(crate) async fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let connections = TcpListenerStream::new(listener).map(|connection| {
        connection.and_then(|connection| {
            connection.set_nodelay(true)?;
            Ok(connection)
        })
    });
    tokio::spawn(
        Server::builder()
            .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
            .add_service(EchoServer::new(TonicEcho))
            .serve_with_incoming(connections),
    );
    Ok(address)
}

/// Connects a client.
pub(crate) async fn connect(address: &str) -> Result<EchoClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
    Ok(EchoClient::new(endpoint.connect().await?))
}

impl Caller for EchoClient<Channel> {
    async fn unary(&self, data: Vec<u8>) -> Result<usize> {
        let mut client = self.clone();
        let reply = Self::unary(&mut client, Payload { data }).await?;
        Ok(reply.into_inner().data.len())
    }

    async fn with_header(&self, data: Vec<u8>) -> Result<usize> {
        let mut client = self.clone();
        let mut request = Request::new(Payload { data });
        request.metadata_mut().insert("tenant", "acme".parse()?);
        let reply = Self::unary(&mut client, request).await?;
        Ok(reply.into_inner().data.len())
    }

    async fn swap(&self, left: u64) -> Result<u64> {
        let mut client = self.clone();
        let reply = Self::swap(&mut client, Pair { left, right: 7 }).await?;
        Ok(reply.into_inner().right)
    }

    async fn download(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        let demand = Demand {
            messages: u64::MAX,
            bytes: u32::try_from(bytes)?,
        };
        let mut client = self.clone();
        let mut messages = client.server_stream(demand).await?.into_inner();
        let mut counter = LoadCounter::new(window);
        while messages.message().await?.is_some() && counter.record() {}
        Ok(counter)
    }

    async fn upload(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        let data = vec![7; bytes];
        let mut sent = LoadCounter::new(window);
        let messages =
            std::iter::from_fn(move || sent.record().then(|| Payload { data: data.clone() }));
        let begun = Instant::now();
        let mut client = self.clone();
        let reply = client.client_stream(futures_util::stream::iter(messages));
        let counted = reply.await?.into_inner().messages;
        Ok(LoadCounter::of(window, counted, begun.elapsed()))
    }

    async fn exchange(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        let data = vec![7; bytes];
        let end = window.end;
        let messages = std::iter::from_fn(move || {
            (Instant::now() < end).then(|| Payload { data: data.clone() })
        });
        let mut client = self.clone();
        let replies = client.bidirectional(futures_util::stream::iter(messages));
        let mut replies = replies.await?.into_inner();
        let mut counter = LoadCounter::new(window);
        while replies.message().await?.is_some() {
            counter.record();
        }
        Ok(counter)
    }

    async fn ping_pong(&self, bytes: usize, window: Window) -> Result<LoadCounter> {
        let (sender, messages) = mpsc::channel(QUEUE_LEN);
        let mut client = self.clone();
        let data = vec![7; bytes];
        sender.send(Payload { data: data.clone() }).await?;
        let replies = client.bidirectional(ReceiverStream::new(messages));
        let mut replies = replies.await?.into_inner();
        let mut counter = LoadCounter::with_latencies(window);
        while replies.message().await?.is_some() && counter.record() {
            sender.send(Payload { data: data.clone() }).await?;
        }
        Ok(counter)
    }

    async fn publish(&self, _: usize, _: Window) -> Result<LoadCounter> {
        Err("gRPC has no events".into())
    }

    async fn store(&self, _: usize, _: Window) -> Result<LoadCounter> {
        Err("gRPC has no events".into())
    }

    async fn consume(&self, _: usize, _: Window) -> Result<LoadCounter> {
        Err("gRPC has no events".into())
    }

    async fn idle_stream(&self) -> Result<IdleStream> {
        let (sender, messages) = mpsc::channel(QUEUE_LEN);
        sender.send(Payload::default()).await?;
        let mut client = self.clone();
        let replies = client.bidirectional(ReceiverStream::new(messages));
        let mut replies = replies.await?.into_inner();
        replies.message().await?;
        Ok(Box::new((sender, replies)))
    }
}
