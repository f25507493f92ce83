//! Shows what a server reports of its health, and how often its checks run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use prost::Message as _;

use crate::bus::Bus;
use crate::dispatch::health::{Health, HealthReport};
use crate::dispatch::health_check::HealthChecks;
use crate::dispatch::health_messages::HealthCheckRequest;
use crate::status::Status;
use crate::wire::golden::example;

fn health(checks: HealthChecks) -> Health {
    Health::new(checks, Bus::in_process().connections().clone())
}

fn checks() -> HealthChecks {
    let mut checks = HealthChecks::default();
    checks.add("database".into(), false, || async {
        Err(Status::unavailable("no route"))
    });
    checks.add("loop".into(), true, || async { Ok(()) });
    checks
}

#[tokio::test]
async fn a_failed_readiness_check_leaves_the_instance_live() {
    let health = health(checks());
    assert!(health.last_report().is_ready, "no check has run yet");
    let report = health.report().await;
    assert!(report.is_live && !report.is_ready);
    assert!(report.outcomes[0].error.contains("no route"));
    assert_eq!(health.last_report(), report);
}

#[tokio::test]
async fn a_stopping_server_is_live_and_not_ready() {
    let health = health(HealthChecks::default());
    assert!(health.report().await.is_ready);
    health.set_stopping();
    assert!(!health.report().await.is_ready);
    assert!(health.report().await.is_live);
}

#[tokio::test]
async fn a_server_whose_connection_is_closed_is_live_and_not_ready() {
    let bus = Bus::in_process();
    let health = Health::new(HealthChecks::default(), bus.connections().clone());
    assert!(health.report().await.is_ready);
    bus.close().await.unwrap();
    assert!(!health.report().await.is_ready);
    assert!(health.last_report().is_live);
}

#[tokio::test]
async fn concurrent_requests_run_the_checks_once() {
    let runs = Arc::new(AtomicUsize::new(0));
    let mut checks = HealthChecks::default();
    let counted = Arc::clone(&runs);
    checks.add("slow".into(), false, move || {
        let runs = Arc::clone(&counted);
        async move {
            runs.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(())
        }
    });
    let health = health(checks);
    let all = join_all((0..50).map(|_| health.report())).await;
    assert!(all.iter().all(|report| report.is_ready));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_check_that_hangs_or_panics_has_failed() {
    let mut checks = HealthChecks::default();
    checks.add("hangs".into(), true, std::future::pending);
    checks.add("panics".into(), true, || async { panic!("no") });
    let report = health(checks).report().await;
    assert!(report.outcomes[0].error.contains("within 1s"));
    assert!(report.outcomes[1].error.contains("panicked"));
    assert!(!report.is_live);
}

#[test]
fn liveness_and_readiness_are_requested_by_name() {
    let report = HealthReport {
        is_live: true,
        is_ready: false,
        outcomes: Arc::from([]),
    };
    let check = |service: &str, expected: Option<i32>| {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let response = request.respond("a.B", &report);
        let status = response.map(|response| response.status);
        assert_eq!(status, expected, "{service}");
    };
    check("", Some(2));
    check("a.B", Some(2));
    check("readiness", Some(2));
    check("liveness", Some(1));
    check("a.C", None);
    let request = example("health_request");
    let request = HealthCheckRequest::decode(request.payload()).unwrap();
    assert_eq!(request.service, "liveness");
    let serving = request.respond("a.B", &report).unwrap();
    example("health_serving").check_payload(&serving.encode_to_vec());
}
