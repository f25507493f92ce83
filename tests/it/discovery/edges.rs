//! Names, versions and numbers at the edge: correct, or a clear error.

use std::time::{Duration, Instant};

use micro_runtime::{ErrorKind, Server, Service};

use super::made::{BadMethod, BadName, Bare, Many, NoSemver, OneGreeter, OtherGreeter};
use crate::carriers::{Carrier, on_both_carriers};

/// How far after the last answer, or after the stall time, a list may return.
const SLACK: Duration = Duration::from_millis(50);
const STALL: Duration = Duration::from_millis(150);
const INSTANCES: usize = 100;
const ROUNDS: usize = 20;

on_both_carriers! {
    two_services_may_have_an_endpoint_of_one_name
    what_adr_32_does_not_allow_is_refused_at_start
    two_hundred_methods_in_one_service
    a_hundred_instances_are_listed_without_a_fixed_wait
    nobody_is_an_answer
}

async fn two_services_may_have_an_endpoint_of_one_name(carrier: Carrier) {
    let server = Server::new(&carrier.bus)
        .add(OneGreeter)
        .add(OtherGreeter)
        .add(Bare)
        .start()
        .await
        .unwrap();
    let mut found = carrier.bus.discovery().list().expect(3).await.unwrap();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let seen = found.iter().map(|info| {
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
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    for name in ["one.v1.Greeter", "one-v1-Greeter"] {
        let one = carrier.bus.discovery().get(name).expect(1).await.unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].metadata["micro.service"], "one.v1.Greeter");
    }
    server.shutdown().await.unwrap();
}

async fn what_adr_32_does_not_allow_is_refused_at_start(carrier: Carrier) {
    refused(
        &carrier,
        NoSemver,
        "the version `v1` of one.v1.NoSemver is no SemVer",
    )
    .await;
    refused(
        &carrier,
        BadName,
        "`one.v1.Bad Name` cannot be the name of a service",
    )
    .await;
    refused(
        &carrier,
        BadMethod,
        "`Gre.et` cannot be the name of a method",
    )
    .await;
}

async fn refused(carrier: &Carrier, service: impl Service, text: &str) {
    let error = Server::new(&carrier.bus)
        .add(service)
        .start()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Service);
    assert!(error.to_string().contains(text), "{error}");
}

async fn two_hundred_methods_in_one_service(carrier: Carrier) {
    let server = Server::new(&carrier.bus).add(Many).start().await.unwrap();
    let found = carrier.bus.discovery().get("many.v1.Many").expect(1).await;
    let found = found.unwrap();
    assert_eq!(found, server.info());
    assert_eq!(found[0].endpoints.len(), 200);
    assert_eq!(found[0].endpoints[199].subject, "many.v1.Many.M199");
    let stats = carrier.bus.discovery().stats().expect(1).await.unwrap();
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
    let asking = carrier.another_bus().await;
    let (mut counted, mut in_all, mut stalled) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // A ping says when the last answer came.
        let begun = Instant::now();
        let pongs = asking.discovery().ping().expect(INSTANCES).await.unwrap();
        let last = pongs.iter().map(|pong| pong.round_trip).max().unwrap();
        counted.push(begun.elapsed() - last);
        assert_eq!(pongs.len(), INSTANCES);
        let begun = Instant::now();
        let listed = asking.discovery().list().expect(INSTANCES).await.unwrap();
        let took = begun.elapsed();
        assert_eq!(listed.len(), INSTANCES);
        in_all.push(took);
        let begun = Instant::now();
        let listed = asking.discovery().list().stall(STALL).await.unwrap();
        assert_eq!(listed.len(), INSTANCES);
        stalled.push(begun.elapsed());
    }
    let (counted, in_all, stalled) = (median(counted), median(in_all), median(stalled));
    assert!(in_all < STALL, "with a count nothing stalls: {in_all:?}");
    assert!(counted < SLACK, "{counted:?} after the last answer");
    assert!(
        stalled >= STALL && stalled < STALL + SLACK,
        "{stalled:?} in all"
    );
    drop(servers);
}

async fn nobody_is_an_answer(carrier: Carrier) {
    let begun = Instant::now();
    let discovery = carrier.bus.discovery();
    assert_eq!(discovery.list().await.unwrap(), []);
    assert_eq!(discovery.stats().of("no.v1.Such").await.unwrap(), []);
    assert_eq!(discovery.ping().instance("nobody").await.unwrap(), []);
    assert!(
        begun.elapsed() < Duration::from_millis(500),
        "nothing to wait for"
    );
    let error = discovery.list().of("a b").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
