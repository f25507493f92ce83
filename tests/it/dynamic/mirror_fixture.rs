//! The running service `json.v1.Mirror`, with a dynamic client.

use micro_runtime::dynamic::DynamicClient;
use micro_runtime::{Bus, ClientOptions, RunningServer, Server};
use micro_tests::MirrorHandler;
use micro_tests::json::MirrorServer;

/// Full name of the service.
pub(super) const MIRROR: &str = "json.v1.Mirror";

/// Starts the service, and connects a dynamic client that sends protobuf or JSON.
pub(super) async fn start_mirror(bus: &Bus, is_json: bool) -> (RunningServer, DynamicClient) {
    let server = Server::new(bus).add(MirrorServer::new(MirrorHandler));
    let server = server.start().await.unwrap();
    let client = bus.dynamic_with(MIRROR, ClientOptions::new()).await;
    let client = client.unwrap();
    let client = match is_json {
        true => client.in_json(),
        false => client,
    };
    (server, client)
}
