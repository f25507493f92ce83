//! Connections that are lost, silent or frozen: calls end, nothing runs after its caller was told that it failed, and
//! the next connection serves.

use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_runtime::{Bus, ClientOptions, ConnectionState, Reason, RunningServer, Server};
use micro_testkit::{Direction, NatsServer, Proxy, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use tokio::task::JoinSet;

use crate::layered::with_recording;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);
/// Time within which a silent connection counts as lost: 2 s, behind the first PING of nats-server, 2 s after the
/// connect.
const SILENCE: Duration = Duration::from_secs(8);

async fn serve(bus: &Bus) -> (BehaviorHandler, RunningServer) {
    let handler = BehaviorHandler::on(bus);
    let server = Server::new(bus).add(BehaviorServer::new(handler.clone()));
    (handler, server.start().await.unwrap())
}

/// Calls again until it succeeds.
async fn wait_until_served(client: &BehaviorClient) -> Duration {
    let started = Instant::now();
    // A connection that the service has left may get the request, until NATS notices.
    let attempt = || {
        client
            .echo(Blob::default())
            .timeout(Duration::from_millis(500))
    };
    while attempt().await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await; // sleep: polling interval
    }
    started.elapsed()
}

/// A direction is held where the caller is connected, or where the service is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direction_that_is_silent_ends_calls_and_another_connection_serves() {
    within(LIMIT, async {
        let nats = NatsServer::start().await.unwrap();
        for direction in [Direction::ToServer, Direction::ToClient] {
            for is_of_caller in [true, false] {
                let proxy = Proxy::start(nats.port()).await.unwrap();
                let [silent, other] = [proxy.url(), nats.url()];
                let [silent, other] = [Bus::connect(silent).await, Bus::connect(other).await];
                let [silent, other] = [silent.unwrap(), other.unwrap()];
                let (caller, service) = match is_of_caller {
                    true => (&silent, &other),
                    false => (&other, &silent),
                };
                let (handler, _server) = serve(service).await;
                let client: BehaviorClient = caller.client();
                let mut waiting = JoinSet::new();
                for _ in 0..8 {
                    let call = client.wait(BehaviorHandler::UNTIL_RELEASED).timeout(LIMIT);
                    waiting.spawn(call.into_future());
                }
                until(|| handler.started() == 8).await;
                let mut states = silent.states();
                assert_eq!(states.next().await, Some(ConnectionState::Connected));
                proxy.hold(direction);
                let started = Instant::now();
                if is_of_caller {
                    // Something is unconfirmed from here on.
                    let sent = client.echo(Blob::default()).timeout(LIMIT).await;
                    assert_eq!(sent.unwrap_err().reason(), Some(Reason::Disconnected));
                    while let Some(ended) = waiting.join_next().await {
                        let status = ended.unwrap().unwrap_err();
                        assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
                    }
                } else {
                    silent.publish_raw("evt.any", "x").await.unwrap();
                }
                // The next connection may be there already.
                states.next().await.unwrap();
                assert!(started.elapsed() < SILENCE, "{:?}", started.elapsed());
                wait_until_served(&client).await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_closed_in_one_direction_is_lost_at_once() {
    within(LIMIT, async {
        let nats = NatsServer::start().await.unwrap();
        let service = Bus::connect(nats.url()).await.unwrap();
        let (handler, _server) = serve(&service).await;
        for direction in [Direction::ToServer, Direction::ToClient] {
            let proxy = Proxy::start(nats.port()).await.unwrap();
            let bus = Bus::connect(proxy.url()).await.unwrap();
            let client: BehaviorClient = bus.client();
            let call = client.wait(BehaviorHandler::UNTIL_RELEASED).timeout(LIMIT);
            let call = tokio::spawn(call.into_future());
            until(|| handler.running() == 1).await;
            let started = Instant::now();
            proxy.half_close(direction);
            let status = call.await.unwrap().unwrap_err();
            assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
            let took = started.elapsed();
            assert!(took < Duration::from_secs(1), "{direction:?}: {took:?}");
            wait_until_served(&client).await;
            handler.release();
        }
    })
    .await;
}

/// NATS is frozen under calls that end meanwhile: a window of requests may run late, those that waited for it never.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_gets_one_window_of_requests_and_no_more() {
    const CALLS: usize = 512;
    const LENGTH: usize = 16 * 1024;
    within(LIMIT, async {
        let mut nats = NatsServer::start().await.unwrap();
        let service = Bus::connect(nats.url()).await.unwrap();
        let server = Server::new(&service).add(BehaviorServer::new(BehaviorHandler::default()));
        let (server, handled) = with_recording(server);
        let _server = server.start().await.unwrap();
        let caller = Bus::connect(nats.url()).await.unwrap();
        let client: BehaviorClient = caller.client();
        client.echo(Blob::default()).await.unwrap();
        nats.pause().unwrap();
        let call = |data: Vec<u8>| {
            let call = client.echo(Blob { data });
            call.timeout(Duration::from_millis(500))
        };
        let expiring = (0..8).map(|_| call(vec![7; LENGTH]).expires().into_future());
        let calls = (0..CALLS).map(|_| call(vec![0; LENGTH]).into_future());
        for ended in join_all(expiring.chain(calls)).await {
            ended.unwrap_err();
        }
        nats.resume().unwrap();
        until(|| caller.state() == ConnectionState::Connected).await;
        wait_until_served(&client).await;
        let handled = handled.lock().unwrap();
        let late = handled
            .iter()
            .filter(|request| request.len() > LENGTH)
            .count();
        let most = 256 * 1024 / LENGTH + 1;
        assert!(late <= most, "{late} calls ran late");
        let expired = handled.iter().filter(|request| request.ends_with(&[7]));
        assert_eq!(expired.count(), 0);
    })
    .await;
}

/// NATS is frozen under more calls than a window takes. Those that wait for room, wherever they do, are not sent once
/// their callers have gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_for_callers_that_were_told() {
    const CALLS: usize = 4_000;
    const MARK: &[u8] = b"abandoned";
    within(LIMIT, async {
        let mut nats = NatsServer::start().await.unwrap();
        let service = Bus::connect(nats.url()).await.unwrap();
        let (_, _server) = serve(&service).await;
        let sent = Arc::new(Mutex::new(Vec::new()));
        let observe = {
            let sent = Arc::clone(&sent);
            move |_, piece: &[u8]| sent.lock().unwrap().extend_from_slice(piece)
        };
        let proxy = Proxy::start_observed(nats.port(), observe).await.unwrap();
        let caller = Bus::connect(proxy.url()).await.unwrap();
        let client: BehaviorClient = caller.client();
        client.echo(Blob::default()).await.unwrap();
        let marks = || {
            let sent = sent.lock().unwrap();
            sent.windows(MARK.len())
                .filter(|part| *part == MARK)
                .count()
        };
        nats.pause().unwrap();
        let calls = (0..CALLS).map(|number| {
            // Some are too long for the outbox.
            let data = [MARK, &vec![0; number % 8 / 7 * 5_000]].concat();
            let call = client.echo(Blob { data });
            call.timeout(Duration::from_millis(500)).into_future()
        });
        for ended in join_all(calls).await {
            ended.unwrap_err();
        }
        // sleep: until the proxy has read what was sent before.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = marks();
        assert!((1..CALLS).contains(&before), "{before} were sent");
        nats.resume().unwrap();
        wait_until_served(&client).await;
        assert_eq!(marks(), before);
    })
    .await;
}

/// Calls, events and openings fail at once while NATS is away, or wait for it, and go on with the next connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_connection_is_sent_once_it_is_back() {
    within(LIMIT, async {
        let mut nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let mut states = bus.states();
        assert_eq!(states.next().await, Some(ConnectionState::Connected));
        let (_, _server) = serve(&bus).await;
        let mut events = bus.subscribe_raw("evt.any").open().await.unwrap();
        let client: BehaviorClient = bus.client();
        let waiting: BehaviorClient = bus.client_with(ClientOptions::new().wait_for_ready());
        nats.kill().unwrap();
        assert_eq!(states.next().await, Some(ConnectionState::Disconnected));
        let started = Instant::now();
        let status = client.echo(Blob::default()).await.unwrap_err();
        assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
        let status = bus.publish_raw("evt.any", "lost").await.unwrap_err();
        assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
        let error = bus.flush().await.unwrap_err();
        assert!(
            error.to_string().contains("not connected to NATS"),
            "{error}"
        );
        assert!(started.elapsed() < Duration::from_secs(1));
        // One that expires while it waits is never sent.
        let short = waiting
            .echo(Blob { data: vec![7] })
            .timeout(Duration::from_millis(50));
        let status = short.await.unwrap_err();
        assert_eq!(status.reason(), Some(Reason::Deadline), "{status}");
        let calls = [(); 64]
            .map(|()| tokio::spawn(waiting.echo(Blob::default()).timeout(LIMIT).into_future()));
        let publishing = bus.publish_raw("evt.any", "kept").wait_for_ready();
        let publishing = tokio::spawn(publishing.into_future());
        nats.restart().await.unwrap();
        assert_eq!(states.next().await, Some(ConnectionState::Connected));
        for call in calls {
            call.await.unwrap().unwrap();
        }
        publishing.await.unwrap().unwrap();
        assert_eq!(events.next().await.unwrap().payload, "kept");
    })
    .await;
}

/// A process that ends right after it has flushed or closed its bus loses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_was_flushed_or_closed_loses_no_event() {
    within(LIMIT, async {
        let nats = NatsServer::start().await.unwrap();
        let reader = Bus::connect(nats.url()).await.unwrap();
        for closes in [true, false] {
            let mut events = reader.subscribe_raw("evt.number").open().await.unwrap();
            let bus = Bus::connect(nats.url()).await.unwrap();
            for number in 0..10_000 {
                bus.publish_raw("evt.number", number.to_string())
                    .await
                    .unwrap();
            }
            match closes {
                true => bus.close().await.unwrap(),
                false => bus.flush().await.unwrap(),
            }
            if closes {
                assert_eq!(bus.state(), ConnectionState::Closed);
                let status = bus.publish_raw("evt.number", "late").await.unwrap_err();
                assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
                bus.close().await.unwrap();
            }
            drop(bus);
            for number in 0..10_000 {
                let event = events.next().await.unwrap();
                assert_eq!(event.payload, number.to_string());
            }
        }
    })
    .await;
}
