//! `_health`: some instance serves, or this one; and the checks that say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::Client;
use micro_runtime::Status;

use super::hand;
use crate::carriers::{Carrier, on_both_carriers};
use crate::polling::until;

/// `HealthCheckResponse { status: SERVING }` and `NOT_SERVING`.
const SERVING: &[u8] = b"\x08\x01";
const NOT_SERVING: &[u8] = b"\x08\x02";

on_both_carriers! {
    health_is_grpcs
    a_check_decides_and_shows_in_stats
}

async fn health(hand: &Client, tail: &str, request: &'static [u8]) -> Vec<u8> {
    let subject = format!("behavior.v1.Behavior.{tail}");
    let reply = hand.request(subject, request.into()).await.unwrap();
    reply.payload.to_vec()
}

async fn health_is_grpcs(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let Some(hand) = hand(&carrier).await else {
        return;
    };
    let own = format!("_i.{}._health", fixture.server.instances()[0]);
    for tail in ["_health", &own] {
        assert_eq!(health(&hand, tail, b"").await, SERVING);
        // HealthCheckRequest { service: "behavior.v1.Behavior" }
        let named = b"\x0a\x14behavior.v1.Behavior";
        assert_eq!(health(&hand, tail, named).await, SERVING);
    }
    let reply = hand.request("behavior.v1.Behavior._health", "\x0a\x01x".into());
    let headers = reply.await.unwrap().headers.unwrap();
    assert_eq!(headers.get("Micro-Status").unwrap().as_str(), "5");
}

async fn a_check_decides_and_shows_in_stats(carrier: Carrier) {
    let is_up = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_up);
    let fixture = carrier
        .serve_with(|server| {
            server
                .readiness_check("database", move || {
                    let is_up = seen.load(Ordering::SeqCst);
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
        let stats = discovery.stats().expect(1).await.unwrap();
        stats.into_iter().next().unwrap().data.unwrap()
    };
    let first = data().await;
    assert!(first.is_live && !first.is_ready, "{first:?}");
    assert_eq!(first.checks[0].name, "database");
    assert!(first.checks[0].error.contains("no route"));
    assert_eq!(first.checks[1].error, "");
    if let Some(hand) = hand(&carrier).await {
        assert_eq!(health(&hand, "_health", b"").await, NOT_SERVING);
        let liveness = b"\x0a\x08liveness";
        assert_eq!(health(&hand, "_health", liveness).await, SERVING);
    }
    is_up.store(true, Ordering::SeqCst);
    // What is known stays true for a second.
    micro_testkit::within(Duration::from_secs(10), async {
        while !data().await.is_ready {
            tokio::task::yield_now().await;
        }
    })
    .await;
    until(|| fixture.server.stats()[0].data.as_ref().unwrap().is_ready).await;
}
