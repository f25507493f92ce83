//! The counted service and subscriber, with as little work of their own as possible.

use std::sync::Arc;

use futures_util::StreamExt as _;
use micro_runtime::{Context, ReplyStream, Status, Streaming, Subscriber, service};
use tokio::sync::Semaphore;

/// The generated code, which differs from revision to revision.
pub(crate) mod proto {
    #![allow(missing_docs, reason = "generated code")]
    micro_runtime::include_proto!("counted.v1");
}

use proto::{Demand, Echo, Payload, Tick};

/// Size of the data in each message, in bytes.
const DATA_LEN: usize = 16;

/// Replies with what it received.
pub(crate) struct EchoHandler;

/// Adds a permit for each event.
pub(crate) struct TickCounter(pub(crate) Arc<Semaphore>);

/// Returns the data of one message.
pub(crate) fn data() -> Vec<u8> {
    vec![7; DATA_LEN]
}

#[service]
impl Echo for EchoHandler {
    async fn unary(&self, _: Context, request: Payload) -> Result<Payload, Status> {
        Ok(request)
    }

    async fn download(
        &self,
        _: Context,
        demand: Demand,
    ) -> Result<impl ReplyStream<Payload>, Status> {
        let messages = (0..demand.messages).map(|_| Ok(Payload { data: data() }));
        Ok(futures_util::stream::iter(messages))
    }

    async fn upload(&self, _: Context, payloads: Streaming<Payload>) -> Result<Demand, Status> {
        let messages = payloads.count().await as u64;
        Ok(Demand { messages })
    }
}

#[service]
impl Subscriber<Tick> for TickCounter {
    async fn on_event(&self, _: Context, _: Tick) -> Result<(), Status> {
        self.0.add_permits(1);
        Ok(())
    }
}
