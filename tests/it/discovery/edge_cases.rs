//! Names, versions and numbers at the limits of ADR-32: accepted, or an error that names the cause.

use std::time::Duration;

use micro_runtime::{Bus, ErrorKind, Server, Service};
use micro_testkit::within;
use tokio::time::Instant;

use super::handwritten_services::{
    BadMethod, BadName, Bare, Many, NoSemver, OneGreeter, OtherGreeter,
};
use crate::carriers::{Carrier, on_both_carriers_and_paused};

/// Maximum time from the last reply, or from the end of the stall time, to the end of a query.
const MAX_DELAY: Duration = Duration::from_millis(50);
/// Stall time of the queries without an expected count.
const STALL: Duration = Duration::from_millis(150);
/// Time limits of a query that must end before for another reason.
const LONGER_THAN_THE_TEST: Duration = Duration::from_secs(600);
const INSTANCES: usize = 100;
/// Maximum number of measurements. A machine that is busy with other builds delays some of them; a query
/// with a fixed wait fails all of them.
const MAX_ROUNDS: usize = 20;

on_both_carriers_and_paused! {
    endpoints_of_two_services_may_share_a_name
    invalid_names_and_versions_fail_the_start
    a_service_may_have_two_hundred_methods
    a_hundred_instances_are_listed_without_a_fixed_wait
    queries_without_instances_end_at_once
}

async fn endpoints_of_two_services_may_share_a_name(carrier: Carrier) {
    let server = Server::new(&carrier.bus)
        .add(OneGreeter)
        .add(OtherGreeter)
        .add(Bare)
        .start()
        .await
        .unwrap();
    let mut found = carrier.bus.discovery().list().expected(3).await.unwrap();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let summary = found.iter().map(|info| {
        let endpoint = &info.endpoints[0];
        (
            &*info.name,
            &*info.version,
            &*endpoint.name,
            &*endpoint.subject,
        )
    });
    let expected = [
        ("Bare", "1.0.0", "Greet", "Bare.Greet"),
        ("one-v1-Greeter", "1.0.0", "Greet", "one.v1.Greeter.Greet"),
        (
            "other-v1-Greeter",
            "2.0.0-rc.1+b",
            "Greet",
            "other.v1.Greeter.Greet",
        ),
    ];
    assert_eq!(summary.collect::<Vec<_>>(), expected);
    for name in ["one.v1.Greeter", "one-v1-Greeter"] {
        let one = carrier.bus.discovery().get(name).expected(1).await.unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].metadata["micro.service"], "one.v1.Greeter");
    }
    server.shutdown().await.unwrap();
}

async fn invalid_names_and_versions_fail_the_start(carrier: Carrier) {
    check_start_fails(
        &carrier,
        NoSemver,
        "the version `v1` of one.v1.NoSemver is no SemVer",
    )
    .await;
    check_start_fails(
        &carrier,
        BadName,
        "`one.v1.Bad Name` cannot be the name of a service",
    )
    .await;
    check_start_fails(
        &carrier,
        BadMethod,
        "`Gre.et` cannot be the name of a method",
    )
    .await;
}

async fn check_start_fails(carrier: &Carrier, service: impl Service, text: &str) {
    let error = Server::new(&carrier.bus)
        .add(service)
        .start()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Service);
    assert!(error.to_string().contains(text), "{error}");
}

async fn a_service_may_have_two_hundred_methods(carrier: Carrier) {
    let server = Server::new(&carrier.bus).add(Many).start().await.unwrap();
    let found = carrier
        .bus
        .discovery()
        .get("many.v1.Many")
        .expected(1)
        .await;
    let found = found.unwrap();
    assert_eq!(found, server.info());
    assert_eq!(found[0].endpoints.len(), 200);
    assert_eq!(found[0].endpoints[199].subject, "many.v1.Many.M199");
    let stats = carrier.bus.discovery().stats().expected(1).await.unwrap();
    assert_eq!(stats[0].endpoints.len(), 200);
    server.shutdown().await.unwrap();
}

async fn a_hundred_instances_are_listed_without_a_fixed_wait(carrier: Carrier) {
    let mut servers = Vec::new();
    for _ in 0..INSTANCES {
        servers.push(Server::new(&carrier.bus).add(OneGreeter).start());
    }
    let servers = futures_util::future::join_all(servers).await;
    let servers = servers.into_iter().map(Result::unwrap).collect::<Vec<_>>();
    let bus = carrier.another_bus().await;
    let mut measured = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let round = measure_queries(&bus).await;
        if round.is_without_fixed_wait() {
            drop(servers);
            return;
        }
        measured.push(round);
    }
    panic!("every round has a fixed wait or incomplete replies: {measured:?}");
}

/// Durations of one round of queries to all instances.
#[derive(Debug)]
struct QueryDurations {
    /// From the last reply to the end of a ping with an expected count.
    after_last_reply: Duration,
    /// Of a list with an expected count.
    with_count: Duration,
    /// Of a list that ends with the stall time; `None` if a delay between two replies ended it early.
    with_stall: Option<Duration>,
}

async fn measure_queries(bus: &Bus) -> QueryDurations {
    // A ping measures when its last reply arrived.
    let ping = bus.discovery().ping().expected(INSTANCES);
    let started = Instant::now();
    let pongs = ping
        .stall(LONGER_THAN_THE_TEST)
        .max_wait(LONGER_THAN_THE_TEST)
        .await
        .unwrap();
    let last_reply = pongs.iter().map(|pong| pong.round_trip).max().unwrap();
    let after_last_reply = started.elapsed() - last_reply;
    assert_eq!(pongs.len(), INSTANCES);
    let list = bus.discovery().list().expected(INSTANCES);
    let started = Instant::now();
    let listed = list
        .stall(LONGER_THAN_THE_TEST)
        .max_wait(LONGER_THAN_THE_TEST)
        .await
        .unwrap();
    let with_count = started.elapsed();
    assert_eq!(listed.len(), INSTANCES);
    let started = Instant::now();
    let listed = bus.discovery().list().stall(STALL).await.unwrap();
    let with_stall = (listed.len() == INSTANCES).then(|| started.elapsed());
    assert!(
        with_stall.is_none_or(|duration| duration >= STALL),
        "{with_stall:?}"
    );
    QueryDurations {
        after_last_reply,
        with_count,
        with_stall,
    }
}

impl QueryDurations {
    fn is_without_fixed_wait(&self) -> bool {
        self.after_last_reply < MAX_DELAY
            && self.with_count < STALL
            && self
                .with_stall
                .is_some_and(|duration| duration < STALL + MAX_DELAY)
    }
}

async fn queries_without_instances_end_at_once(carrier: Carrier) {
    let discovery = carrier.bus.discovery();
    let empty = async {
        let list = discovery.list().stall(LONGER_THAN_THE_TEST);
        assert_eq!(list.max_wait(LONGER_THAN_THE_TEST).await.unwrap(), []);
        let stats = discovery
            .stats()
            .of("no.v1.Such")
            .stall(LONGER_THAN_THE_TEST);
        assert_eq!(stats.max_wait(LONGER_THAN_THE_TEST).await.unwrap(), []);
        let ping = discovery
            .ping()
            .instance("unknown")
            .stall(LONGER_THAN_THE_TEST);
        assert_eq!(ping.max_wait(LONGER_THAN_THE_TEST).await.unwrap(), []);
    };
    within(Duration::from_secs(20), empty).await;
    let error = discovery.list().of("a b").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}
