//! Clients that know nothing at compile time: all kinds of calls, and schemas of all sorts.

mod foreign;
mod hostile;
mod kinds;
mod schemas;

use micro_runtime::{Bus, ClientOptions, DynamicClient, RunningServer, Server};
use micro_tests::MirrorHandler;
use micro_tests::json::MirrorServer;

const MIRROR: &str = "json.v1.Mirror";

/// The mirror, and a client that speaks protobuf or JSON to it.
async fn mirror(bus: &Bus, in_json: bool) -> (RunningServer, DynamicClient) {
    let server = Server::new(bus).add(MirrorServer::new(MirrorHandler));
    let server = server.start().await.unwrap();
    let client = bus.dynamic_with(MIRROR, ClientOptions::new()).await;
    let client = client.unwrap();
    let client = match in_json {
        true => client.in_json(),
        false => client,
    };
    (server, client)
}
