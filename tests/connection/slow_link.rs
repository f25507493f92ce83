//! A slow link: 1 MB/s, and messages of 4 MiB both ways, which take four seconds each. It does not count as lost.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use micro_runtime::{Bus, ConnectionState, Server};
use micro_testkit::{NatsServer, Proxy, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use tokio::task::JoinSet;

use crate::network::Side;
use crate::network::Side::{Caller, Service};

/// Bytes per second in each direction.
const RATE: usize = 1_000_000;
/// Length of a large message in bytes.
const LARGE: usize = 4 * 1024 * 1024 - 1024;
/// Maximum length of a message that NATS takes.
const MAX_PAYLOAD: usize = 8 * 1024 * 1024;
/// Number of callers of large messages, and of small ones beside them.
const LARGE_CALLERS: usize = 2;
const SMALL_CALLERS: usize = 4;
/// Timeout of each call, and limit for the test beyond its duration.
const LIMIT: Duration = Duration::from_secs(90);

/// Counts of both kinds of calls, and of the changes of the connections.
#[derive(Debug, Default)]
struct LinkCounts {
    large: AtomicUsize,
    small: AtomicUsize,
    changes: AtomicUsize,
}

/// The short form: one message of each side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_on_a_slow_link_is_no_silence() {
    expect_no_loss(Caller, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow slow-link"]
async fn large_messages_of_a_minute_at_the_caller() {
    expect_no_loss(Caller, Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow slow-link"]
async fn large_messages_of_a_minute_at_the_service() {
    expect_no_loss(Service, Duration::from_secs(60)).await;
}

/// Calls over a link that is slow at one side, until the time is over and each caller has had a reply.
async fn expect_no_loss(slow: Side, lasting: Duration) {
    within(lasting + LIMIT, async {
        let nats = NatsServer::builder().max_payload(MAX_PAYLOAD).start();
        let nats = nats.await.unwrap();
        let proxy = Proxy::start(nats.port()).await.unwrap();
        proxy.limit(RATE);
        let url = |side: Side| match side == slow {
            true => proxy.url(),
            false => nats.url(),
        };
        let [caller, service] = [Caller, Service].map(url).map(Bus::connect);
        let (caller, service) = (caller.await.unwrap(), service.await.unwrap());
        let server = Server::new(&service).add(BehaviorServer::new(BehaviorHandler::default()));
        let server = server.start().await.unwrap();
        let counts = Arc::new(LinkCounts::default());
        for bus in [&caller, &service] {
            tokio::spawn(count_changes(bus.clone(), Arc::clone(&counts)));
        }
        let ends = Instant::now() + lasting;
        let mut callers = JoinSet::new();
        for caller_number in 0..LARGE_CALLERS + SMALL_CALLERS {
            let is_large = caller_number < LARGE_CALLERS;
            callers.spawn(call_until(
                ends,
                caller.client(),
                is_large,
                Arc::clone(&counts),
            ));
        }
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
        println!("slow at the {slow:?} for {lasting:?}: {counts:?}");
        assert_eq!(
            counts.changes.load(Ordering::Relaxed),
            0,
            "the connection was lost"
        );
        server.shutdown().await.unwrap();
    })
    .await;
}

/// Calls one after another, each of which must have its own reply; at least once.
async fn call_until(
    ends: Instant,
    client: BehaviorClient,
    is_large: bool,
    counts: Arc<LinkCounts>,
) {
    let (length, count) = match is_large {
        true => (LARGE, &counts.large),
        false => (16, &counts.small),
    };
    loop {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let mut data = vec![u8::try_from(number % 251).unwrap(); length];
        data[..8].copy_from_slice(&number.to_be_bytes());
        let call = client.echo(Blob { data: data.clone() }).timeout(LIMIT);
        assert!(
            call.into_future().await.unwrap().data == data,
            "another reply"
        );
        if Instant::now() >= ends {
            return;
        }
    }
}

async fn count_changes(bus: Bus, counts: Arc<LinkCounts>) {
    let mut states = bus.states();
    assert_eq!(states.next().await, Some(ConnectionState::Connected));
    while states.next().await.is_some() {
        counts.changes.fetch_add(1, Ordering::Relaxed);
    }
}
