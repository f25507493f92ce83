//! Our own stack, as its README shows it: deadlines, permits and statistics are on.

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use micro_runtime::{Bus, Context, ReplyStream, RunningServer, Server, Status, Streaming, service};

use crate::echo::ours::{Count as Counted, Demand, Echo, EchoClient, EchoServer, Pair, Payload};
use crate::load::{Count, Window};
use crate::stack::Caller;
use crate::{Failure, Result};

/// Of the service.
const METHODS: usize = 5;

/// Answers with what it was sent.
pub(crate) struct Handler;

/// A client with the header that a nested call carries.
#[derive(Clone)]
pub(crate) struct Client(EchoClient);

#[service]
impl Echo for Handler {
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
    ) -> Result<Counted, Status> {
        let mut messages = 0;
        while payloads.message().await?.is_some() {
            messages += 1;
        }
        Ok(Counted { messages })
    }

    async fn bidirectional(
        &self,
        _: Context,
        payloads: Streaming<Payload>,
    ) -> Result<impl ReplyStream<Payload>, Status> {
        Ok(payloads.map(|payload| payload))
    }
}

/// Serves on a connection that exists.
pub(crate) async fn serve_on(bus: &Bus) -> Result<RunningServer> {
    Ok(Server::new(bus)
        .add(EchoServer::new(Handler))
        .start()
        .await?)
}

/// Serves so many methods more on the same connection, where nobody calls them.
pub(crate) async fn serve_more(bus: &Bus, methods: usize) -> Result<Vec<RunningServer>> {
    let mut servers = Vec::new();
    for number in 0..methods.div_ceil(METHODS) {
        let elsewhere = bus.clone().with_prefix(&format!("idle{number}"))?;
        servers.push(async move { serve_on(&elsewhere).await });
    }
    join_all(servers).await.into_iter().collect()
}

/// Connects a client.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    Ok(Client(Bus::connect(url).await?.client()))
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
}

fn no_streams() -> Failure {
    "micro carries no streams yet".into()
}
