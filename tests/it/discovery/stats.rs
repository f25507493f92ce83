//! The statistics of an instance: they count every call exactly, and can be reset.

use std::collections::BTreeMap;
use std::time::Duration;

use micro_runtime::discovery::EndpointStats;
use micro_runtime::{Bus, Code, RunningServer};
use micro_tests::behavior::{Blob, FailRequest};
use micro_tests::streams::{CountRequest, Item};

use crate::behavior::requests::{blob, millis};
use crate::carriers::{Carrier, on_both_carriers};
use crate::streams::fixture::StreamsFixture;
use crate::until::until;

const CALLERS: usize = 16;
/// Number of calls of each caller.
const CALLS: usize = 500;

on_both_carriers! {
    stats_count_every_call
    rejected_calls_count_as_errors
    a_reset_clears_the_stats
    each_stream_is_counted_once
}

/// Returns requests and errors per method, summed over all instances.
async fn counts(bus: &Bus, instances: usize) -> BTreeMap<String, (u64, u64)> {
    let mut counts = BTreeMap::<_, (u64, u64)>::new();
    let stats = bus.discovery().stats().expected(instances).await.unwrap();
    assert_eq!(stats.len(), instances);
    for endpoint in stats.into_iter().flat_map(|stats| stats.endpoints) {
        let count = counts.entry(endpoint.name).or_default();
        count.0 += endpoint.num_requests;
        count.1 += endpoint.num_errors;
    }
    counts
}

/// Returns the statistics of one method.
fn endpoint(server: &RunningServer, name: &str) -> EndpointStats {
    let stats = server.stats().remove(0);
    let mut endpoints = stats.endpoints.into_iter();
    endpoints.find(|endpoint| endpoint.name == name).unwrap()
}

async fn stats_count_every_call(carrier: Carrier) {
    let first = carrier.serve().await;
    let second = carrier.serve().await;
    let callers = (0..CALLERS).map(|caller| {
        let client = first.client.clone();
        tokio::spawn(async move {
            let (mut echoes, mut failures) = (0, 0);
            for call in 0..CALLS {
                if (caller + call) % 3 == 0 {
                    let request = FailRequest {
                        code: 5,
                        text: "no".into(),
                    };
                    client.fail(request).await.unwrap_err();
                    failures += 1;
                } else {
                    client.echo(blob(b"hi")).await.unwrap();
                    echoes += 1;
                }
            }
            (echoes, failures)
        })
    });
    let (mut echoes, mut failures) = (0, 0);
    for caller in callers.collect::<Vec<_>>() {
        let counted = caller.await.unwrap();
        echoes += counted.0;
        failures += counted.1;
    }
    // Without a wait: a call is counted before its reply is sent.
    let counts = counts(&carrier.bus, 2).await;
    assert_eq!(counts["Echo"], (echoes, 0));
    assert_eq!(counts["Fail"], (failures, failures));
    assert_eq!(counts["Wait"], (0, 0));
    let fail = endpoint(&second.server, "Fail");
    assert_eq!(fail.last_error, "404:no");
    let average = fail.processing_time / u32::try_from(fail.num_requests).unwrap();
    assert_eq!(fail.average_processing_time, average);
    let data = fail.data.unwrap();
    assert!(
        data.p50 > Duration::ZERO && data.p50 <= data.p99,
        "{data:?}"
    );
    assert_eq!((data.in_flight, data.shed), (0, 0));
}

async fn rejected_calls_count_as_errors(carrier: Carrier) {
    let fixture = carrier.serve_with(|server| server.max_concurrent(0)).await;
    for _ in 0..10 {
        let call = fixture.client.echo(blob(b"")).no_retry();
        assert_eq!(call.await.unwrap_err().code(), Code::ResourceExhausted);
    }
    let echo = endpoint(&fixture.server, "Echo");
    assert_eq!((echo.num_requests, echo.num_errors), (10, 10));
    assert_eq!(echo.data.unwrap().shed, 10);
    assert!(echo.last_error.starts_with("429:"), "{}", echo.last_error);
}

async fn a_reset_clears_the_stats(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let before = fixture.server.stats().remove(0);
    fixture.client.wait(millis(1)).await.unwrap();
    let request = FailRequest {
        code: 3,
        text: "no".into(),
    };
    fixture.client.fail(request).await.unwrap_err();
    assert!(endpoint(&fixture.server, "Wait").processing_time >= Duration::from_millis(1));
    fixture.server.reset_stats();
    let after = carrier.bus.discovery().stats().expected(1).await.unwrap();
    let after = &after[0];
    assert!(after.started > before.started, "{}", after.started);
    for endpoint in &after.endpoints {
        assert_eq!(endpoint.num_requests, 0);
        assert_eq!(endpoint.last_error, "");
        assert_eq!(endpoint.processing_time, Duration::ZERO);
    }
    let uptime = |stats: &micro_runtime::discovery::Stats| stats.data.clone().unwrap().uptime;
    assert!(uptime(after) > uptime(&before));
    let reply = fixture.client.echo(Blob::default()).await;
    reply.unwrap();
    assert_eq!(endpoint(&fixture.server, "Echo").num_requests, 1);
}

async fn each_stream_is_counted_once(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let counts = |name: &str| {
        let endpoint = endpoint(&fixture.server, name);
        (endpoint.num_requests, endpoint.num_errors)
    };
    let request = |messages, plan: &str| CountRequest {
        messages,
        plan: plan.into(),
        ..CountRequest::default()
    };
    for round in 1..=20 {
        let mut items = fixture.client.count(request(100, "")).await.unwrap();
        while items.message().await.unwrap().is_some() {}
        assert_eq!(
            counts("Count"),
            (round, 0),
            "counted before its end is sent"
        );
    }
    fixture
        .client
        .count(request(0, "refuse"))
        .await
        .unwrap_err();
    assert_eq!(counts("Count"), (21, 1));
    let mut items = fixture.client.count(request(1, "panic")).await.unwrap();
    while items.message().await.is_ok() {}
    assert_eq!(counts("Count"), (22, 2));
    // Canceled by the caller.
    let items = fixture.client.count(request(1, "wait")).await.unwrap();
    drop(items);
    until(|| counts("Count") == (23, 3)).await;
    let mut collect = fixture.client.collect().open().await.unwrap();
    collect.send(Item::default()).await.unwrap();
    assert_eq!(
        endpoint(&fixture.server, "Collect").data.unwrap().in_flight,
        1
    );
    collect.finish().await.unwrap();
    assert_eq!(counts("Collect"), (1, 0));
    let info = &fixture.server.info()[0];
    let count = info
        .endpoints
        .iter()
        .find(|endpoint| endpoint.name == "Count")
        .unwrap();
    assert_eq!(count.metadata["micro.kind"], "server_streaming");
    assert_eq!(count.metadata.get("micro.timeout_ms"), None);
}
