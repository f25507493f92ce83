//! Memory of a bus, of a service and of a stream while nothing happens, and the time that a bus takes to connect. It is
//! a test binary of its own, for its allocator, with one test, so that nothing else allocates meanwhile.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "heap/counting_allocator.rs"]
mod counting_allocator;

use std::time::{Duration, Instant};

use micro_runtime::{Bus, ConnectOptions, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::StreamsHandler;
use micro_tests::streams::{Item, StreamsClient, StreamsServer};

/// Number of measured services, and of streams.
const COUNT: usize = 100;
/// Maximum number of bytes of a connection, with its inbox and its tasks: a bus has one, or three.
const MAX_CONNECTION: usize = 136_000;
/// Maximum number of bytes of a service with four methods, which has 17 subscriptions. 112,000 of them are
/// async-nats's.
const MAX_SERVICE: usize = 158_000;
/// Maximum number of bytes of a stream, both ends together.
const MAX_STREAM: usize = 8_900;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_bus_service_and_stream_stay_below_their_limits() {
    within(Duration::from_secs(120), async {
        let nats = NatsServer::start().await.unwrap();
        let together = ConnectOptions::new();
        let separate = ConnectOptions::new().separate_connections();
        for (name, options, connections) in [("one", together, 1), ("separate", separate, 4)] {
            let began = Instant::now();
            let connect = async || {
                Bus::connect_with(options.clone(), nats.url())
                    .await
                    .unwrap()
            };
            let bytes = mean_bytes(connect).await;
            let took = began.elapsed() / (u32::try_from(COUNT).unwrap() + 1);
            let [start, stop] = start_and_stop(&connect().await).await;
            println!("{name}: {bytes} bytes of an idle bus; connect {took:?}, start {start:?}, stop {stop:?}");
            assert!(
                bytes <= connections * MAX_CONNECTION,
                "{bytes} bytes of a bus"
            );
        }

        let serving = Bus::connect(nats.url()).await.unwrap();
        let start = async || {
            let service = StreamsServer::new(StreamsHandler::default());
            Server::new(&serving).add(service).start().await.unwrap()
        };
        let service = mean_bytes(start).await;

        // On a server of its own: for a moment NATS sends requests to those that were dropped.
        let nats = NatsServer::start().await.unwrap();
        let serving = Bus::connect(nats.url()).await.unwrap();
        let handler = StreamsServer::new(StreamsHandler::default());
        let _server = Server::new(&serving).add(handler).start().await.unwrap();
        let calling = Bus::connect(nats.url()).await.unwrap();
        let client: StreamsClient = calling.client();
        let stream = mean_bytes(async || {
            let (mut sender, mut replies) = client.echo().open().await.unwrap();
            sender.send(Item::default()).await.unwrap();
            replies.message().await.unwrap();
            (sender, replies)
        });
        let stream = stream.await;
        println!("bytes while idle: {service} of a service, {stream} of a stream");
        assert!(service <= MAX_SERVICE, "{service} bytes of a service");
        assert!(stream <= MAX_STREAM, "{stream} bytes of a stream");
    })
    .await;
}

/// Returns the mean number of bytes that stay allocated for what `make` returns, behind a first one.
async fn mean_bytes<T>(make: impl AsyncFn() -> T) -> usize {
    let mut made = Vec::with_capacity(COUNT + 1);
    made.push(make().await);
    let before = settled_bytes().await;
    for _ in 0..COUNT {
        made.push(make().await);
    }
    let after = counting_allocator::live_bytes();
    assert!(after > before, "something else was freed meanwhile");
    (after - before) / COUNT
}

/// Returns the number of bytes that are allocated once nothing is freed any more: tasks of what was dropped end later.
async fn settled_bytes() -> usize {
    let mut before = counting_allocator::live_bytes();
    let mut unchanged = 0;
    while unchanged < 10 {
        tokio::time::sleep(Duration::from_millis(20)).await; // sleep: polling interval
        let now = counting_allocator::live_bytes();
        unchanged = if now < before { 0 } else { unchanged + 1 };
        before = now;
    }
    before
}

/// Returns the mean time that a service takes to start, and to stop.
async fn start_and_stop(bus: &Bus) -> [Duration; 2] {
    let mut total = [Duration::ZERO; 2];
    for _ in 0..COUNT {
        let began = Instant::now();
        let service = StreamsServer::new(StreamsHandler::default());
        let server = Server::new(bus).add(service).start().await.unwrap();
        let started = Instant::now();
        server.shutdown().await.unwrap();
        total[0] += started - began;
        total[1] += started.elapsed();
    }
    total.map(|time| time / u32::try_from(COUNT).unwrap())
}
