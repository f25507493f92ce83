//! Events that are handled on the spot, one in the memory of the other, and loops that publish.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use micro_runtime::{Bus, Context, Server, Status, Subscriber, Subscription, service};
use micro_tests::market::Trade;
use tokio::sync::mpsc;

use super::streams::trade;
use crate::carriers::{World, on_both_carriers};

on_both_carriers! {
    a_context_that_is_kept_stays_as_it_was
}

/// What a handler saw of an event while it ran, and its context for later.
struct Sight {
    number: u64,
    had_ended: bool,
    context: Context,
}

/// Keeps each third context beyond its event.
struct Keeper(mpsc::UnboundedSender<Sight>);

#[service]
impl Subscriber<Trade> for Keeper {
    async fn on_event(&self, context: Context, event: Trade) -> Result<(), Status> {
        if event.number.is_multiple_of(3) {
            let _ = self.0.send(Sight {
                number: event.number,
                had_ended: context.is_canceled(),
                context,
            });
        }
        Ok(())
    }
}

async fn a_context_that_is_kept_stays_as_it_was(world: World) {
    let (keeper, mut kept) = mpsc::unbounded_channel();
    let server = Server::new(&world.bus)
        .subscribe::<Trade>(Keeper(keeper), Subscription::broadcast().concurrent(1))
        .start()
        .await
        .unwrap();
    for number in 0..3000 {
        let event = trade("v", &format!("s{number}"), number);
        let publish = world.bus.publish(&event);
        // Some come without headers, right after one that has some.
        let publish = match number % 2 {
            0 => publish.header("number", number.to_string()),
            _ => publish,
        };
        publish.await.unwrap();
    }
    let mut sights = Vec::new();
    for _ in 0..1000 {
        sights.push(kept.recv().await.unwrap());
    }
    server.shutdown().await.unwrap();
    for (sight, expected) in sights.iter().zip((0_u64..).step_by(3)) {
        let number = sight.number;
        assert_eq!(number, expected);
        assert!(!sight.had_ended, "{number} began as one that has ended");
        assert!(sight.context.is_canceled(), "{number} has not ended");
        let subject = format!("evt.market.trade.v.s{number}");
        assert_eq!(sight.context.subject(), Some(&*subject));
        let header = number.is_multiple_of(2).then(|| number.to_string());
        assert_eq!(sight.context.header("number"), header.as_deref());
    }
}

#[tokio::test]
async fn a_loop_that_publishes_lets_others_run_in_process() {
    lets_others_run(Bus::in_process()).await;
}

#[tokio::test]
async fn a_loop_that_publishes_lets_others_run_on_nats() {
    let world = World::nats().await;
    lets_others_run(world.bus.clone()).await;
}

/// One thread for all: how much a loop publishes before the next has its turn.
async fn lets_others_run(bus: Bus) {
    let published = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&published);
    let publisher = tokio::spawn(async move {
        for number in 0..20_000 {
            bus.publish(&trade("v", "s", number)).await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (mut before, mut most) = (0, 0);
    while !publisher.is_finished() {
        tokio::task::yield_now().await;
        let now = published.load(Ordering::Relaxed);
        most = most.max(now - before);
        before = now;
    }
    publisher.await.unwrap();
    // tokio's budget is 128.
    assert!((129..=128 * 8 + 8).contains(&most), "{most}");
}
