//! What a call allocates, client and server together: a test binary of its own, for its allocator.
//!
//! It is one test, so that nothing else allocates meanwhile.

#[path = "heap/counting.rs"]
mod counting;

use std::time::Duration;

use micro_runtime::{Bus, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, Pair};

const WARM_UP: u64 = 2_000;
const CALLS: u64 = 10_000;
/// Written by hand on async-nats the same takes 12.
const BOUND: f64 = 8.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_call_allocates_little() {
    within(Duration::from_secs(120), async {
        let nats = NatsServer::start().await.unwrap();
        let serving = Bus::connect(nats.url()).await.unwrap();
        let server = Server::new(&serving).add(BehaviorServer::new(BehaviorHandler::default()));
        let _server = server.start().await.unwrap();
        let calling = Bus::connect(nats.url()).await.unwrap();
        let client: BehaviorClient = calling.client();

        let pair = |left| Pair { left, right: 7 };
        let plain = per_call(async |number| {
            let reply = client.swap(pair(number)).await.unwrap();
            assert_eq!(reply.right, number);
        });
        let plain = plain.await;
        let data = vec![7; 64];
        let bytes = per_call(async |_| {
            let request = Blob { data: data.clone() };
            client.echo(request).await.unwrap();
        });
        let bytes = bytes.await;
        let yielding = per_call(async |number| {
            client.yield_and_swap(pair(number)).await.unwrap();
        });
        let yielding = yielding.await;
        println!("allocations per call: {plain:.2} plain, {bytes:.2} with bytes, {yielding:.2} yielding once");
        assert!(plain <= BOUND, "{plain} allocations per call");
    })
    .await;
}

async fn per_call(call: impl AsyncFn(u64)) -> f64 {
    for number in 0..WARM_UP {
        call(number).await;
    }
    let before = counting::allocations();
    for number in 0..CALLS {
        call(number).await;
    }
    let allocated = counting::allocations() - before;
    allocated as f64 / CALLS as f64
}
