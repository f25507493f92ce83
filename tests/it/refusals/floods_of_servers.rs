//! Servers and subscriptions beside a flood of refused messages on the same connection: what is revoked ends, what is
//! allowed starts, and no request is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::{Error, ErrorKind};
use micro_testkit::within;
use micro_tests::behavior::{BehaviorClient, Blob};

use super::flood::{Flood, Kind};
use super::proofs::{check_denied, nats, start};
use super::users::{ALL, User, check_status, config, connect, nats_with, service_subscriptions};
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(120);
const SUBSCRIBE: [&str; 7] = service_subscriptions("evt.>");

fn service() -> User {
    User::new("service", &SUBSCRIBE, &["_INBOX.>"])
}

/// Without the subscription at a place.
fn without(place: usize) -> String {
    let mut reduced = service();
    reduced.subscribe.remove(place);
    config(&[reduced])
}

/// Returns what was started; `None` where a flood over ever new subjects prevents it, which the error must name.
fn unless_overrun<T>(started: Result<T, Error>) -> Option<T> {
    let error = match started {
        Ok(started) => return Some(started),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let text = error.to_string();
    assert!(text.contains("refuses so many messages"), "{error}");
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn a_revoked_subscription_stops_its_server_while_a_flood_goes_on() {
    within(LIMIT, async {
        for round in 0..24 {
            let kind = Kind::WITH_GAPS[round % 3];
            let place = [0, 1, 4, 5][round % 4];
            let mut nats = nats_with(&[service()]).await;
            let bus = connect(&nats, "service").await;
            let mut server = start(&bus).await.unwrap();
            let flood = Flood::start(&bus, kind).await;
            nats.reload(&without(place)).unwrap();
            until(|| nats.log().contains("Reloaded")).await;
            let reloaded = Instant::now();
            let error = server.stopped().await.unwrap_err();
            println!("{kind:?}: stopped after {:?}", reloaded.elapsed());
            assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
            let named = SUBSCRIBE[place].split('*').next().unwrap();
            let named = named.trim_end_matches('>');
            assert!(error.to_string().contains(named), "{error} names {named}");
            flood.end().await;
        }
    })
    .await;
}

/// Errors may be lost for as long as the flood has no gap: its end is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn a_revoked_subscription_stops_its_server_after_a_flood_over_ever_new_subjects() {
    within(LIMIT, async {
        for place in [0, 1, 4, 5] {
            let mut nats = nats_with(&[service()]).await;
            let bus = connect(&nats, "service").await;
            let mut server = start(&bus).await.unwrap();
            let flood = Flood::start(&bus, Kind::NewSubjects).await;
            nats.reload(&without(place)).unwrap();
            until(|| nats.log().contains("Reloaded")).await;
            flood.end().await;
            let error = server.stopped().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn a_revoked_subscription_of_events_ends_while_a_flood_goes_on() {
    within(LIMIT, async {
        for _ in 0..6 {
            let mut nats = nats_with(&[service()]).await;
            let bus = connect(&nats, "service").await;
            let mut events = bus.subscribe_raw("evt.a").open().await.unwrap();
            let mut grouped = bus.subscribe_raw("evt.b").queue("g").open().await.unwrap();
            let flood = Flood::start(&bus, Kind::FewSubjects).await;
            nats.reload(&without(6)).unwrap();
            assert!(events.next().await.is_none());
            check_status(events.error().unwrap(), "subscribe to `evt.a`");
            assert!(grouped.next().await.is_none());
            let named = "subscribe to `evt.b` in queue group `g`";
            check_status(grouped.error().unwrap(), named);
            flood.end().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn starts_in_a_flood_succeed_and_those_that_are_denied_fail_by_name() {
    within(LIMIT, async {
        let (_nats, limited, complete) = nats().await;
        let floods = [
            Flood::start(&limited, Kind::FewSubjects).await,
            Flood::start(&complete, Kind::FewSubjects).await,
        ];
        for _ in 0..20 {
            drop(start(&complete).await.unwrap());
            check_denied(start(&limited).await);
        }
        // At once.
        let denied = join_all((0..30).map(|_| start(&limited))).await;
        let started = join_all((0..40).map(|_| start(&complete))).await;
        denied.into_iter().for_each(check_denied);
        for started in started {
            drop(started.unwrap());
        }
        for flood in floods {
            flood.end().await;
        }
    })
    .await;
}

/// Over ever new subjects errors may be lost without end: a start succeeds, or its error names the cause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn a_start_in_a_flood_over_ever_new_subjects_succeeds_or_names_the_cause() {
    within(LIMIT, async {
        let users = [User::new("service", ALL, &["_INBOX.>"])];
        let nats = nats_with(&users).await;
        let bus = connect(&nats, "service").await;
        let flood = Flood::start(&bus, Kind::NewSubjects).await;
        for _ in 0..4 {
            drop(unless_overrun(start(&bus).await));
        }
        flood.end().await;
        drop(start(&bus).await.unwrap());
    })
    .await;
}

/// NATS is asked about the queue groups of a server that serves: what it sends to a probe is served as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn no_request_is_lost_while_servers_start_and_stop_in_a_flood() {
    within(LIMIT, async {
        let users = [
            User::new("service", ALL, &["_INBOX.>"]),
            User::any("client"),
        ];
        let nats = nats_with(&users).await;
        let bus = connect(&nats, "service").await;
        let server = start(&bus).await.unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let callers = join_all((0..8).map(|_| connect(&nats, "client"))).await;
        let callers = callers.into_iter().map(|caller| {
            let is_over = Arc::clone(&is_over);
            tokio::spawn(async move {
                let client: BehaviorClient = caller.client();
                let mut calls = 0_u64;
                while calls < 100 || !is_over.load(Ordering::Relaxed) {
                    let call = client.echo(Blob::default());
                    call.timeout(Duration::from_secs(20)).await.unwrap();
                    calls += 1;
                }
            })
        });
        let callers = callers.collect::<Vec<_>>();
        let flood = Flood::start(&bus, Kind::FewSubjects).await;
        for _ in 0..40 {
            let further = start(&bus).await.unwrap();
            further.shutdown().await.unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        for ended in join_all(callers).await {
            ended.unwrap();
        }
        flood.end().await;
        server.shutdown().await.unwrap();
    })
    .await;
}

/// Members join a queue group in a flood, so that NATS is asked about it while it gets messages. One that NATS sends to
/// a probe reaches a member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow refusal-floods"]
async fn no_event_of_a_queue_group_is_lost_while_members_join_and_leave_in_a_flood() {
    within(LIMIT, async {
        let users = [
            User::new("service", ALL, &["_INBOX.>"]),
            User::any("publisher"),
        ];
        let nats = nats_with(&users).await;
        let bus = connect(&nats, "service").await;
        // Kept to the end: a connection that closes loses the events that it has not sent yet.
        let publisher = connect(&nats, "publisher").await;
        let received = Arc::new(AtomicU64::new(0));
        let mut first = bus.subscribe_raw("work").queue("g").open().await.unwrap();
        let reading = tokio::spawn({
            let received = Arc::clone(&received);
            async move {
                while first.next().await.is_some() {
                    received.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let is_over = Arc::new(AtomicBool::new(false));
        let publishing = tokio::spawn({
            let (received, is_over) = (Arc::clone(&received), Arc::clone(&is_over));
            let publisher = publisher.clone();
            async move {
                let mut published = 0;
                while !is_over.load(Ordering::Relaxed) {
                    publisher.publish_raw("work", "x").await.unwrap();
                    published += 1;
                    // Far fewer than a subscription holds.
                    until(|| published < received.load(Ordering::Relaxed) + 2000).await;
                }
                published
            }
        });
        let flood = Flood::start(&bus, Kind::FewSubjects).await;
        for _ in 0..60 {
            let mut member = bus.subscribe_raw("work").queue("g").open().await.unwrap();
            member.drain().await.unwrap();
            while member.next().await.is_some() {
                received.fetch_add(1, Ordering::Relaxed);
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let published = publishing.await.unwrap();
        assert!(published > 1000, "{published}");
        until(|| received.load(Ordering::Relaxed) >= published).await;
        flood.end().await;
        reading.abort();
    })
    .await;
}
