//! A nats-server that is not there: when a bus connects, when a server starts or stops, and when a query, a call of all
//! instances or an event is sent meanwhile.

use std::future::IntoFuture as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use async_nats::connection::State;
use micro_runtime::{Bus, Code, ErrorKind, Server};
use micro_testkit::within;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use tokio::net::TcpSocket;

use crate::carriers::Carrier;
use crate::until::until;

/// Limit for each operation; the longest of their own limits is 7 s.
const LIMIT: Duration = Duration::from_secs(20);

/// Kills the nats-server, and waits until the connection of the bus is lost. While the result lives, no other process
/// can take the port, and each connect is refused.
async fn disconnect(carrier: &mut Carrier) -> TcpSocket {
    let nats = carrier.nats.as_mut().unwrap();
    nats.kill().unwrap();
    let port = reserve(nats.port());
    let client = carrier.bus.nats().unwrap().clone();
    until(|| client.connection_state() != State::Connected).await;
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
async fn a_start_and_a_stop_end_with_an_error_within_seconds() {
    let mut carrier = Carrier::nats().await;
    let fixture = carrier.serve().await;
    let _port = disconnect(&mut carrier).await;
    let server = Server::new(&carrier.bus).add(BehaviorServer::new(BehaviorHandler::default()));
    let start = within(LIMIT, server.start());
    let stop = within(LIMIT, fixture.server.shutdown());
    let (started, stopped) = tokio::join!(start, stop);
    for error in [started.err().unwrap(), stopped.unwrap_err()] {
        let is_of_connection = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Connect);
        assert!(is_of_connection, "{error}");
    }
}

#[tokio::test]
async fn a_query_and_a_call_of_all_instances_end_with_an_error_within_seconds() {
    let mut carrier = Carrier::nats().await;
    let _fixture = carrier.serve().await;
    let _port = disconnect(&mut carrier).await;
    let client: BehaviorClient = carrier.bus.client();
    let query = within(LIMIT, carrier.bus.discovery().ping().into_future());
    let call = client.echo(Blob::default()).timeout(Duration::from_secs(1));
    let call = within(LIMIT, call.to_all().into_future());
    let (found, called) = tokio::join!(query, call);
    let error = found.unwrap_err();
    let is_of_connection = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Connect);
    assert!(is_of_connection, "{error}");
    let code = called.unwrap_err().code();
    assert!(matches!(code, Code::DeadlineExceeded | Code::Unavailable));
}

#[tokio::test]
async fn an_event_waits_for_the_connection() {
    let mut carrier = Carrier::nats().await;
    let mut events = carrier.bus.subscribe_raw("evt.away").open().await.unwrap();
    let port = disconnect(&mut carrier).await;
    carrier.bus.publish_raw("evt.away", "late").await.unwrap();
    drop(port);
    carrier.nats.as_mut().unwrap().restart().await.unwrap();
    let event = within(LIMIT, events.next()).await.unwrap();
    assert_eq!(event.payload, "late");
}
