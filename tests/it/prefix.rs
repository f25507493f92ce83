//! Buses with different prefixes on one nats-server.

use micro_runtime::{Reason, Server};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use prost::Message as _;

use crate::carriers::{Carrier, on_both_carriers};

on_both_carriers! {
    a_prefix_separates_buses
    a_dynamic_client_finds_the_endpoints_of_its_own_prefix
}

async fn a_prefix_separates_buses(carrier: Carrier) {
    let staging = carrier.bus.clone().with_prefix("eu.staging").unwrap();
    let _server = Server::new(&staging)
        .add(BehaviorServer::new(BehaviorHandler::default()))
        .start()
        .await
        .unwrap();
    let inside: BehaviorClient = staging.client();
    inside.echo(Blob::default()).await.unwrap();
    let outside: BehaviorClient = carrier.bus.client();
    let status = outside.echo(Blob::default()).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::NoResponders));
    if let Some(nats) = carrier.bus.nats() {
        let subject = "eu.staging.behavior.v1.Behavior.Echo";
        nats.request(subject, "".into()).await.unwrap();
    }
}

/// ADR-32's subjects have no prefix: instances of all prefixes reply, in any order.
async fn a_dynamic_client_finds_the_endpoints_of_its_own_prefix(carrier: Carrier) {
    const PREFIXES: [Option<&str>; 3] = [None, Some("eu"), Some("us")];
    let mut served = Vec::new();
    for prefix in PREFIXES {
        let bus = carrier.another_bus().await;
        let bus = match prefix {
            Some(prefix) => bus.with_prefix(prefix).unwrap(),
            None => bus,
        };
        let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
        let server = server.start().await.unwrap();
        served.push((bus, server));
    }
    let request = Blob::default().encode_to_vec();
    for round in 1..=20 {
        for (bus, server) in &served {
            let client = bus.dynamic("behavior.v1.Behavior").await.unwrap();
            client.call_raw("Echo", request.clone()).await.unwrap();
            let stats = server.stats();
            let echo = stats[0]
                .endpoints
                .iter()
                .find(|method| method.name == "Echo");
            assert_eq!(echo.unwrap().num_requests, round, "{bus:?}");
        }
    }
}
