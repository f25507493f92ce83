//! Calls whose requests did not reach a service, since the connection was lost or the service is not back yet: those
//! that may wait do.

use std::future::IntoFuture as _;
use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::{Bus, ClientOptions, ConnectionState, Reason, Server};
use micro_testkit::{Direction, NatsServer, Proxy, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::streams::{CountRequest, StreamsClient};

use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);

async fn serve(bus: &Bus) -> micro_runtime::RunningServer {
    let server = Server::new(bus).add(BehaviorServer::new(BehaviorHandler::default()));
    server.start().await.unwrap()
}

/// Requests of every length that wait for room on a connection go through the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_were_never_sent_wait_for_the_next_connection() {
    within(LIMIT, async {
        for is_cut in [true, false] {
            let nats = NatsServer::start().await.unwrap();
            let service = Bus::connect(nats.url()).await.unwrap();
            let _server = serve(&service).await;
            let proxy = Proxy::start(nats.port()).await.unwrap();
            let caller = Bus::connect(proxy.url()).await.unwrap();
            let client: BehaviorClient =
                caller.client_with(ClientOptions::new().wait_for_ready().timeout(LIMIT));
            client.echo(Blob::default()).await.unwrap();
            proxy.hold(Direction::ToServer);
            // The window is full.
            for _ in 0..100 {
                let event = caller.publish_raw("evt.any", vec![0; 4_096]);
                event.await.unwrap();
            }
            let calls = (0..100).map(|number| {
                let data = vec![0; number % 2 * 6_000];
                tokio::spawn(client.echo(Blob { data }).into_future())
            });
            let calls: Vec<_> = calls.collect();
            // sleep: each was polled, and waits for room.
            tokio::time::sleep(Duration::from_millis(200)).await;
            if is_cut {
                proxy.cut();
            }
            for ended in join_all(calls).await {
                ended.unwrap().unwrap();
            }
        }
    })
    .await;
}

/// A connection that is lost ends what belongs to it, and nothing of the next one, however late async-nats reports it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_a_connection_ends_no_call_of_the_next_one() {
    within(LIMIT, async {
        let nats = NatsServer::start().await.unwrap();
        let service = Bus::connect(nats.url()).await.unwrap();
        let _server = serve(&service).await;
        let proxy = Proxy::start(nats.port()).await.unwrap();
        let caller = Bus::connect(proxy.url()).await.unwrap();
        let client: BehaviorClient = caller.client();
        let waiting: BehaviorClient =
            caller.client_with(ClientOptions::new().wait_for_ready().timeout(LIMIT));
        for _ in 0..20 {
            client.echo(Blob::default()).await.unwrap();
            proxy.cut();
            until(|| caller.state() != ConnectionState::Connected).await;
            // Begun while there is no connection, so that they are the first on the next one.
            let calls = (0..50).map(|_| tokio::spawn(waiting.echo(Blob::default()).into_future()));
            for ended in join_all(calls).await {
                ended.unwrap().unwrap();
            }
            for _ in 0..50 {
                client.echo(Blob::default()).await.unwrap();
            }
        }
    })
    .await;
}

/// Calls of each kind that waited for the connection until their deadline say that they were not sent.
#[tokio::test]
async fn a_call_that_waited_until_its_deadline_says_that_it_was_not_sent() {
    within(LIMIT, async {
        let mut nats = NatsServer::start().await.unwrap();
        let caller = Bus::connect(nats.url()).await.unwrap();
        nats.kill().unwrap();
        until(|| caller.state() == ConnectionState::Disconnected).await;
        let soon = ClientOptions::new()
            .wait_for_ready()
            .timeout(Duration::from_millis(50));
        let client: BehaviorClient = caller.client_with(soon.clone());
        let streams: StreamsClient = caller.client_with(soon);
        let count = streams.count(CountRequest::default());
        let failures = [
            client.echo(Blob::default()).await.unwrap_err(),
            count
                .timeout(Duration::from_millis(50))
                .await
                .err()
                .unwrap(),
        ];
        for status in failures {
            assert_eq!(status.reason(), Some(Reason::Deadline), "{status}");
            let text = status.message();
            assert!(text.contains("was not sent within 50 ms"), "{text}");
            assert!(text.contains("connection to NATS"), "{text}");
        }
    })
    .await;
}

/// The service is back half a second after its callers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_parts_wait_for_a_service_that_is_not_back_yet() {
    within(LIMIT, async {
        let mut nats = NatsServer::start().await.unwrap();
        let caller = Bus::connect(nats.url()).await.unwrap();
        let client: BehaviorClient =
            caller.client_with(ClientOptions::new().wait_for_ready().timeout(LIMIT));
        nats.kill().unwrap();
        until(|| caller.state() == ConnectionState::Disconnected).await;
        nats.restart().await.unwrap();
        until(|| caller.state() == ConnectionState::Connected).await;
        let calls = (0..20).map(|number| {
            let data = vec![1; number % 2 * 2_000_000];
            tokio::spawn(client.echo(Blob { data }).into_future())
        });
        let calls: Vec<_> = calls.collect();
        // sleep: the service is late.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let service = Bus::connect(nats.url()).await.unwrap();
        let _server = serve(&service).await;
        for ended in join_all(calls).await {
            ended.unwrap().unwrap();
        }
    })
    .await;
}
