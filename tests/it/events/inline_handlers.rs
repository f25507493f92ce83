//! Handlers that run inline and reuse the memory of the last event, and loops that only publish.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use micro_runtime::{Bus, Context, Server, Status, Subscriber, Subscription, service};
use micro_tests::market::Trade;
use tokio::sync::mpsc;

use super::trades::trade;
use crate::carriers::{Carrier, on_both_carriers};

on_both_carriers! {
    a_kept_context_is_not_reused_for_later_events
}

/// Context that outlives its event, and its state while the handler ran.
struct KeptContext {
    number: u64,
    had_ended: bool,
    context: Context,
}

/// Subscriber that sends every third context to the test.
struct ContextKeeper(mpsc::UnboundedSender<KeptContext>);

#[service]
impl Subscriber<Trade> for ContextKeeper {
    async fn on_event(&self, context: Context, event: Trade) -> Result<(), Status> {
        if event.number.is_multiple_of(3) {
            let _ = self.0.send(KeptContext {
                number: event.number,
                had_ended: context.is_ended(),
                context,
            });
        }
        Ok(())
    }
}

async fn a_kept_context_is_not_reused_for_later_events(carrier: Carrier) {
    let (keeper, mut kept) = mpsc::unbounded_channel();
    let server = Server::new(&carrier.bus)
        .subscribe::<Trade>(
            ContextKeeper(keeper),
            Subscription::broadcast().max_concurrent(1),
        )
        .start()
        .await
        .unwrap();
    for number in 0..3000 {
        let event = trade("v", &format!("s{number}"), number);
        let publish = carrier.bus.publish(&event);
        // Every second event has no headers, right after one with headers.
        let publish = match number % 2 {
            0 => publish.header("number", number.to_string()),
            _ => publish,
        };
        publish.await.unwrap();
    }
    let mut contexts = Vec::new();
    for _ in 0..1000 {
        contexts.push(kept.recv().await.unwrap());
    }
    server.shutdown().await.unwrap();
    for (kept, expected) in contexts.iter().zip((0_u64..).step_by(3)) {
        let number = kept.number;
        assert_eq!(number, expected);
        assert!(!kept.had_ended, "{number} began as one that has ended");
        assert!(kept.context.is_ended(), "{number} has not ended");
        let subject = format!("evt.market.trade.v.s{number}");
        assert_eq!(kept.context.subject(), Some(&*subject));
        let header = number.is_multiple_of(2).then(|| number.to_string());
        assert_eq!(kept.context.header("number"), header.as_deref());
    }
}

#[tokio::test]
async fn a_publish_loop_yields_to_other_tasks_in_process() {
    check_publish_loop_yields(Bus::in_process()).await;
}

#[tokio::test]
async fn a_publish_loop_yields_to_other_tasks_on_nats() {
    let carrier = Carrier::nats().await;
    check_publish_loop_yields(carrier.bus.clone()).await;
}

/// Checks how many events a loop publishes between two polls of another task on the same thread.
async fn check_publish_loop_yields(bus: Bus) {
    let published = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&published);
    let publisher = tokio::spawn(async move {
        for number in 0..20_000 {
            bus.publish(&trade("v", "s", number)).await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (mut before, mut max_between_polls) = (0, 0);
    while !publisher.is_finished() {
        tokio::task::yield_now().await;
        let now = published.load(Ordering::Relaxed);
        max_between_polls = max_between_polls.max(now - before);
        before = now;
    }
    publisher.await.unwrap();
    // tokio's cooperative budget is 128 operations.
    assert!(
        (129..=128 * 8 + 8).contains(&max_between_polls),
        "{max_between_polls}"
    );
}
