//! A nats-server that is not there: when a bus connects, when a server starts or stops, and when a query, a call of all
//! instances or an event is sent meanwhile.

use std::future::IntoFuture as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use micro_runtime::jetstream::Durable;
use micro_runtime::{Bus, ErrorKind, Reason, Server, Subscription};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::market::Trade;
use tokio::net::TcpSocket;

use crate::carriers::Carrier;
use crate::durable::market::{market_stream, publish_trades};
use crate::refusals::trade_taker::TradeTaker;
use crate::until::until;

/// Limit for each operation.
const LIMIT: Duration = Duration::from_secs(20);
/// Time that is no wait for anything, also on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Kills the nats-server, and waits until the connection of the bus is lost. While the result lives, no other process
/// can take the port, and each connect is refused.
async fn disconnect(carrier: &mut Carrier) -> TcpSocket {
    let nats = carrier.nats.as_mut().unwrap();
    nats.kill().unwrap();
    let port = reserve(nats.port());
    until(|| carrier.bus.nats().is_none()).await;
    port
}

/// Takes a port without listening on it; 0 is any.
fn reserve(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.bind(address).unwrap();
    socket
}

#[tokio::test]
async fn a_connect_fails_at_once_and_names_the_address_without_secrets() {
    let reserved = reserve(0);
    let port = reserved.local_addr().unwrap().port();
    let url = format!("nats://ada:s3cret@127.0.0.1:{port}");
    let error = within(LIMIT, Bus::connect(url)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    let text = format!("{error:?}");
    assert!(text.contains(&format!("nats://127.0.0.1:{port}")), "{text}");
    assert!(!text.contains("s3cret") && !text.contains("ada"), "{text}");
}

#[tokio::test]
async fn a_start_fails_at_once_and_a_stop_with_nothing_under_way_succeeds() {
    let mut carrier = Carrier::nats().await;
    let fixture = carrier.serve().await;
    let _port = disconnect(&mut carrier).await;
    let server = Server::new(&carrier.bus).add(BehaviorServer::new(BehaviorHandler::default()));
    let started = Instant::now();
    let error = within(LIMIT, server.start()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    assert!(
        error.to_string().contains("not connected to NATS"),
        "{error}"
    );
    within(LIMIT, fixture.server.shutdown()).await.unwrap();
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
}

/// Handlers of events, stored ones as well, are tasks that wait: they are nothing under way.
#[tokio::test]
async fn a_stop_of_a_server_whose_event_handlers_wait_succeeds() {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    bus.declare(&market_stream()).await.unwrap();
    let mut carrier = Carrier {
        bus: bus.clone(),
        nats: Some(nats),
    };
    let grouped = Subscription::queue("takers").max_concurrent(4);
    let server = Server::new(&bus)
        .add(BehaviorServer::new(BehaviorHandler::default()))
        .subscribe::<Trade>(TradeTaker, Subscription::broadcast())
        .subscribe::<Trade>(TradeTaker, grouped)
        .subscribe::<Trade>(TradeTaker, Durable::named("taker"));
    let server = server.start().await.unwrap();
    publish_trades(&bus, [1]).await;
    until(|| server.events().iter().all(|events| events.handled == 1)).await;
    let _port = disconnect(&mut carrier).await;
    let stopping = Instant::now();
    within(LIMIT, server.shutdown()).await.unwrap();
    assert!(stopping.elapsed() < AT_ONCE, "{:?}", stopping.elapsed());
}

#[tokio::test]
async fn a_query_and_a_call_of_all_instances_fail_at_once() {
    let mut carrier = Carrier::nats().await;
    let _fixture = carrier.serve().await;
    let _port = disconnect(&mut carrier).await;
    let client: BehaviorClient = carrier.bus.client();
    let query = within(LIMIT, carrier.bus.discovery().ping().into_future());
    let call = client.echo(Blob::default()).timeout(Duration::from_secs(1));
    let call = within(LIMIT, call.to_all().into_future());
    let started = Instant::now();
    let (found, called) = tokio::join!(query, call);
    let error = found.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    let status = called.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_event_fails_at_once_and_subscriptions_go_on_with_the_next_connection() {
    let mut carrier = Carrier::nats().await;
    let mut events = carrier.bus.subscribe_raw("evt.away").open().await.unwrap();
    let port = disconnect(&mut carrier).await;
    let publishing = carrier.bus.publish_raw("evt.away", "lost").into_future();
    let status = within(LIMIT, publishing).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
    drop(port);
    carrier.nats.as_mut().unwrap().restart().await.unwrap();
    until(|| carrier.bus.nats().is_some()).await;
    carrier.bus.publish_raw("evt.away", "new").await.unwrap();
    let event = within(LIMIT, events.next()).await.unwrap();
    assert_eq!(event.payload, "new");
}

/// Grace period of servers that are stopped while NATS is silent.
const GRACE: Duration = Duration::from_secs(1);
/// Time beyond it that a stop may take, on a machine that is busy with other tests.
const OVERTIME: Duration = Duration::from_millis(300);

/// Stops a server whose NATS freezes, and checks that the stop ends with the grace period.
async fn stop_while_frozen(freezes_after: Option<Duration>, is_idle: bool) -> Option<ErrorKind> {
    let mut carrier = Carrier::nats().await;
    let fixture = carrier.serve_with(|server| server.grace(GRACE)).await;
    let caller = carrier.another_bus().await;
    let client: BehaviorClient = caller.client();
    if !is_idle {
        let call = client.wait(BehaviorHandler::UNTIL_RELEASED).timeout(LIMIT);
        tokio::spawn(call.into_future());
        until(|| fixture.handler.running() == 1).await;
    }
    carrier.bus.flush().await.unwrap();
    let nats = carrier.nats.as_mut().unwrap();
    if freezes_after.is_none() {
        nats.pause().unwrap();
    }
    let begun = Instant::now();
    let freezing = async {
        if let Some(after) = freezes_after {
            // sleep: the stop is under way.
            tokio::time::sleep(after).await;
            nats.pause().unwrap();
        }
    };
    let (stopped, ()) = tokio::join!(fixture.server.shutdown(), freezing);
    let took = begun.elapsed();
    assert!(took < GRACE + OVERTIME, "{took:?}: {stopped:?}");
    carrier.nats.as_mut().unwrap().resume().unwrap();
    stopped.err().map(|error| error.kind())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_with_its_grace_period_whenever_nats_freezes() {
    assert_eq!(stop_while_frozen(None, true).await, None);
    let half = Some(GRACE / 2);
    for freezes_after in [None, half] {
        let failed = stop_while_frozen(freezes_after, false).await;
        assert_eq!(failed, Some(ErrorKind::Timeout), "{freezes_after:?}");
    }
}
