//! Allocations of a unary call, client and server together. It is a test binary of its own, for its
//! allocator, with one test, so that nothing else allocates meanwhile.

#[path = "heap/counting_allocator.rs"]
mod counting_allocator;

use std::time::Duration;

use micro_runtime::{Bus, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, Pair};

/// Number of calls before the measurement.
const WARM_UP: u64 = 2_000;
/// Number of measured calls.
const CALLS: u64 = 10_000;
/// Maximum number of allocations per call. The same call written on async-nats alone needs 12.
const MAX_PER_CALL: f64 = 8.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unary_call_stays_below_the_allocation_limit() {
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
        assert!(plain <= MAX_PER_CALL, "{plain} allocations per call");
    })
    .await;
}

/// Returns the mean number of allocations of a call.
async fn per_call(call: impl AsyncFn(u64)) -> f64 {
    for number in 0..WARM_UP {
        call(number).await;
    }
    let before = counting_allocator::allocations();
    for number in 0..CALLS {
        call(number).await;
    }
    let allocated = counting_allocator::allocations() - before;
    allocated as f64 / CALLS as f64
}
