//! Buses with different prefixes on one nats-server.

use micro_runtime::{Reason, Server};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};

use crate::carriers::{Carrier, on_both_carriers};

on_both_carriers! {
    a_prefix_separates_buses
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
