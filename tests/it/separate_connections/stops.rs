//! A server with connections apart stops without losing anything: each connection has its own barrier, since NATS keeps
//! no order between them. A slow link shows what is still on its way.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use futures_util::future::join_all;
use futures_util::poll;
use micro_runtime::jetstream::Durable;
use micro_runtime::{Bus, Context, Server, Status, Subscriber, Subscription, service};
use micro_testkit::{NatsServer, Proxy, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::market::Trade;
use tokio::sync::Semaphore;

use super::{LIMIT, connect};
use crate::durable::market::{market_stream, publish_trades, trade};
use crate::until::until;

/// Bytes per second of a slow link.
const SLOW: usize = 100_000;

/// Starts JetStream, and connects through a proxy, and beside it.
async fn start() -> (NatsServer, Proxy, Bus, Bus) {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let proxy = Proxy::start(nats.port()).await.unwrap();
    let bus = connect(proxy.url()).await;
    let others = Bus::connect(nats.url()).await.unwrap();
    (nats, proxy, bus, others)
}

/// The calls of a process to itself that were made before the stop arrive before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_the_own_process_are_served_before_the_stop() {
    within(LIMIT, async {
        let (_nats, proxy, bus, _) = start().await;
        let handler = BehaviorHandler::on(&bus);
        let server = Server::new(&bus).add(BehaviorServer::new(handler));
        let server = server.start().await.unwrap();
        let client: BehaviorClient = bus.client();
        client.echo(Blob::default()).await.unwrap();
        proxy.limit(SLOW);
        let call = |byte| {
            let call = client.echo(Blob {
                data: vec![byte; 2_000],
            });
            Box::pin(call.no_retry().timeout(LIMIT).into_future())
        };
        let mut calls = (0..50).map(call).collect::<Vec<_>>();
        for call in &mut calls {
            assert!(poll!(call).is_pending());
        }
        let (replies, stopped) = tokio::join!(join_all(calls), server.shutdown());
        stopped.unwrap();
        for reply in replies {
            reply.unwrap();
        }
    })
    .await;
}

/// A handler that calls another service while its own server stops finishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_calls_go_on_while_the_server_stops() {
    within(LIMIT, async {
        let (_nats, _proxy, bus, others) = start().await;
        let called = BehaviorHandler::on(&others);
        let inner = others.clone().with_prefix("inner").unwrap();
        let serving = Server::new(&inner).add(BehaviorServer::new(called.clone()));
        let _inner = serving.start().await.unwrap();
        let handler = BehaviorHandler::on(&bus.clone().with_prefix("inner").unwrap());
        let server = Server::new(&bus).add(BehaviorServer::new(handler));
        let server = server.start().await.unwrap();
        let client: BehaviorClient = others.client();
        let relay = client.relay(BehaviorHandler::UNTIL_RELEASED);
        let relay = tokio::spawn(relay.timeout(LIMIT).into_future());
        until(|| called.running() == 1).await;
        let stopping = tokio::spawn(server.shutdown());
        // No instance serves any more, and the nested call runs on.
        while client.echo(Blob::default()).await.is_ok() {}
        called.release();
        relay.await.unwrap().unwrap();
        stopping.await.unwrap().unwrap();
    })
    .await;
}

/// Publishes an event for each event that it gets.
struct Republisher {
    bus: Bus,
    count: Arc<AtomicUsize>,
}

#[service]
impl Subscriber<Trade> for Republisher {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        let payload = vec![b'x'; 1_000];
        self.bus.publish_raw("evt.again", payload).await?;
        self.count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Nothing flushes or waits behind the stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_handlers_have_published_reach_nats_before_a_stop_returns() {
    within(LIMIT, async {
        const EVENTS: usize = 100;
        let (_nats, proxy, bus, others) = start().await;
        let mut again = others.subscribe_raw("evt.again").open().await.unwrap();
        let count = Arc::<AtomicUsize>::default();
        let handler = Republisher {
            bus: bus.clone(),
            count: Arc::clone(&count),
        };
        let subscription = Subscription::broadcast();
        let server = Server::new(&bus).subscribe::<Trade>(handler, subscription);
        let server = server.start().await.unwrap();
        proxy.limit(SLOW);
        for number in 0..EVENTS {
            others.publish(&trade(number as u64)).await.unwrap();
        }
        until(|| count.load(Ordering::SeqCst) == EVENTS).await;
        server.shutdown().await.unwrap();
        proxy.cut();
        drop(bus);
        for _ in 0..EVENTS {
            again.next().await.unwrap();
        }
    })
    .await;
}

/// The own events of a process that were published before the end of its subscription arrive there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_events_are_read_before_a_drained_subscription_ends() {
    within(LIMIT, async {
        const EVENTS: usize = 100;
        let (_nats, proxy, bus, _) = start().await;
        let mut events = bus.subscribe_raw("evt.own").open().await.unwrap();
        proxy.limit(SLOW);
        for _ in 0..EVENTS {
            bus.publish_raw("evt.own", vec![b'x'; 500]).await.unwrap();
        }
        events.drain().await.unwrap();
        for number in 0..EVENTS {
            assert!(events.next().await.is_some(), "{number} events");
        }
        assert!(events.next().await.is_none());
    })
    .await;
}

/// Waits for a permit with each event.
struct Gated(Arc<Semaphore>, Arc<AtomicUsize>);

#[service]
impl Subscriber<Trade> for Gated {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let permit = self.0.acquire().await;
        permit.map_err(|_| Status::aborted("closed"))?.forget();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgments_reach_nats_before_a_stop_returns() {
    within(LIMIT, async {
        const EVENTS: usize = 300;
        let (_nats, proxy, bus, others) = start().await;
        others.declare(&market_stream()).await.unwrap();
        publish_trades(&others, 1..=EVENTS as u64).await;
        let gate = Arc::new(Semaphore::new(0));
        let started = Arc::<AtomicUsize>::default();
        let durable = Durable::named("gated").max_concurrent(EVENTS);
        let handler = Gated(Arc::clone(&gate), Arc::clone(&started));
        let server = Server::new(&bus).subscribe::<Trade>(handler, durable);
        let server = server.start().await.unwrap();
        until(|| started.load(Ordering::SeqCst) == EVENTS).await;
        proxy.limit(SLOW / 5);
        gate.add_permits(EVENTS);
        server.shutdown().await.unwrap();
        proxy.cut();
        let jetstream = async_nats::jetstream::new(others.nats().unwrap());
        let stream = jetstream.get_stream("MARKET").await.unwrap();
        let consumer = stream.get_consumer::<pull::Config>("gated").await.unwrap();
        let left = consumer.cached_info().num_ack_pending;
        assert_eq!(left, 0, "{left} events are not acknowledged");
    })
    .await;
}

/// Every connection is lost under a server with nothing under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_without_connections_is_at_once_and_in_order() {
    within(LIMIT, async {
        let (mut nats, _proxy, _, _) = start().await;
        let bus = connect(nats.url()).await;
        let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
        let server = server.start().await.unwrap();
        nats.kill().unwrap();
        until(|| bus.state() != micro_runtime::ConnectionState::Connected).await;
        let stopping = tokio::time::timeout(Duration::from_secs(3), server.shutdown());
        stopping.await.unwrap().unwrap();
    })
    .await;
}
