//! A service of ten lines, which knows nothing of streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::HeaderMap;
use futures_util::StreamExt as _;
use micro_runtime::Bus;
use micro_testkit::NatsServer;
use prost::Message;

use crate::carriers::Carrier;
use crate::round_trip::round_trip;

/// Maximum length of a message on the nats-server of these tests, in bytes.
pub(super) const MAX_PAYLOAD: usize = 4096;

/// A carrier whose nats-server takes small messages only, so that parts are needed early.
pub(super) async fn small_messages() -> Carrier {
    let nats = NatsServer::builder().max_payload(MAX_PAYLOAD).start();
    let nats = nats.await.unwrap();
    Carrier {
        bus: Bus::connect(nats.url()).await.unwrap(),
        nats: Some(nats),
    }
}

/// Serves a method as a program does that knows protobuf and NATS alone: decodes the payload, runs, replies.
/// Returns how often its handler has run.
pub(super) async fn serve<Req: Message + Default>(
    carrier: &Carrier,
    subject: &'static str,
    reply: impl Fn(Req) -> Vec<u8> + Send + 'static,
) -> Arc<AtomicUsize> {
    let runs = Arc::new(AtomicUsize::new(0));
    let bus = carrier.another_bus().await;
    let nats = bus.nats().unwrap().clone();
    let mut requests = nats.subscribe(subject).await.unwrap();
    round_trip(&nats).await;
    tokio::spawn({
        let runs = Arc::clone(&runs);
        async move {
            let _bus = bus;
            while let Some(message) = requests.next().await {
                let to = message.reply.unwrap();
                match Req::decode(message.payload) {
                    Ok(request) => {
                        runs.fetch_add(1, Ordering::SeqCst);
                        nats.publish(to, reply(request).into()).await.unwrap();
                    }
                    Err(error) => {
                        let mut headers = HeaderMap::new();
                        headers.insert("Nats-Service-Error", error.to_string().as_str());
                        headers.insert("Nats-Service-Error-Code", "400");
                        let sent = nats.publish_with_headers(to, headers, "".into());
                        sent.await.unwrap();
                    }
                }
            }
        }
    });
    runs
}
