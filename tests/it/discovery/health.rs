//! The subject `_health`, of the service and of one instance, and the checks behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::Client;
use micro_runtime::Status;
use micro_runtime::discovery::Stats;

use super::plain_client::plain_client;
use crate::carriers::{Carrier, on_both_carriers};
use crate::until::until;

/// `HealthCheckResponse { status: SERVING }` and `NOT_SERVING`.
const SERVING: &[u8] = b"\x08\x01";
const NOT_SERVING: &[u8] = b"\x08\x02";

on_both_carriers! {
    health_has_the_messages_of_grpc
    checks_decide_health_and_are_in_stats
}

async fn health(client: &Client, tail: &str, request: &'static [u8]) -> Vec<u8> {
    let subject = format!("behavior.v1.Behavior.{tail}");
    let reply = client.request(subject, request.into()).await.unwrap();
    reply.payload.to_vec()
}

async fn health_has_the_messages_of_grpc(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let Some(client) = plain_client(&carrier).await else {
        return;
    };
    let instance = format!("_i.{}._health", fixture.server.instances()[0]);
    for tail in ["_health", &instance] {
        assert_eq!(health(&client, tail, b"").await, SERVING);
        // HealthCheckRequest { service: "behavior.v1.Behavior" }
        let named = b"\x0a\x14behavior.v1.Behavior";
        assert_eq!(health(&client, tail, named).await, SERVING);
    }
    let reply = client.request("behavior.v1.Behavior._health", "\x0a\x01x".into());
    let headers = reply.await.unwrap().headers.unwrap();
    assert_eq!(headers.get("Micro-Status").unwrap().as_str(), "5");
}

async fn checks_decide_health_and_are_in_stats(carrier: Carrier) {
    let is_up = Arc::new(AtomicBool::new(false));
    let checked = Arc::clone(&is_up);
    let fixture = carrier
        .serve_with(|server| {
            server
                .readiness_check("database", move || {
                    let is_up = checked.load(Ordering::SeqCst);
                    async move {
                        is_up
                            .then_some(())
                            .ok_or_else(|| Status::unavailable("no route"))
                    }
                })
                .liveness_check("loop", || async { Ok(()) })
        })
        .await;
    let discovery = carrier.bus.discovery();
    let data = async || {
        let stats = discovery.stats().expected(1).await.unwrap();
        stats.into_iter().next().unwrap().data.unwrap()
    };
    let is_ready = |stats: Vec<Stats>| stats[0].data.as_ref().unwrap().is_ready;
    assert!(is_ready(fixture.server.stats()), "no check ran");
    assert!(!is_ready(fixture.server.checked_stats().await));
    let first = data().await;
    assert!(first.is_live && !first.is_ready, "{first:?}");
    assert_eq!(first.checks[0].name, "database");
    assert!(first.checks[0].error.contains("no route"));
    assert_eq!(first.checks[1].error, "");
    if let Some(client) = plain_client(&carrier).await {
        assert_eq!(health(&client, "_health", b"").await, NOT_SERVING);
        let liveness = b"\x0a\x08liveness";
        assert_eq!(health(&client, "_health", liveness).await, SERVING);
    }
    is_up.store(true, Ordering::SeqCst);
    // The result of a check is cached for a second.
    micro_testkit::within(Duration::from_secs(20), async {
        while !data().await.is_ready {
            tokio::task::yield_now().await;
        }
    })
    .await;
    until(|| fixture.server.stats()[0].data.as_ref().unwrap().is_ready).await;
}
