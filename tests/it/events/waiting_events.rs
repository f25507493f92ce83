//! The memory of core events that wait for their handlers.

use micro_runtime::codegen::prost::Message as _;
use micro_runtime::{Server, Subscription};
use micro_tests::market::Trade;

use super::gated_subscriber::{gated_subscriber, next_number};
use super::handlers::wait_for_stats;
use super::trades::trade;
use crate::carriers::{Carrier, on_both_carriers};

on_both_carriers! {
    events_that_wait_take_half_of_the_memory_budget
}

async fn events_that_wait_take_half_of_the_memory_budget(carrier: Carrier) {
    const LENGTH: usize = 100_000;
    // Half of it holds forty of them, and the worker has one.
    let budget = 2 * 40 * (LENGTH + 1000);
    let (subscriber, mut handled) = gated_subscriber();
    let server = Server::new(&carrier.bus)
        .subscribe::<Trade>(subscriber.clone(), Subscription::broadcast())
        .memory_budget(budget)
        .start()
        .await
        .unwrap();
    let publish = |number| {
        let mut large = trade("v", "wait", number).encode_to_vec();
        // A field that the handler does not know.
        prost::encoding::bytes::encode(100, &vec![0; LENGTH], &mut large);
        carrier.bus.publish_raw("evt.market.trade.v.wait", large)
    };
    for number in 0..100 {
        publish(number).await.unwrap();
    }
    let stats = wait_for_stats(&server, |stats| stats.received == 100).await;
    let kept = 100 - stats.dropped;
    assert!((38..=42).contains(&kept), "{stats:?}");
    subscriber.gate.add_permits(100);
    for _ in 0..kept {
        next_number(&mut handled).await;
    }
    // All is given back: as many are kept again.
    for number in 0..30 {
        publish(number).await.unwrap();
        next_number(&mut handled).await;
    }
    assert_eq!(server.events()[0].dropped, stats.dropped);
    server.shutdown().await.unwrap();
}
