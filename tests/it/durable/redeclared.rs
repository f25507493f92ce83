//! A stream that is deleted and declared anew while a handler runs: its late acknowledgment settles no new event.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use micro_runtime::jetstream::Durable;
use micro_runtime::{Bus, Context, Server, Status, Subscriber};
use micro_testkit::within;
use micro_tests::market::Trade;
use tokio::sync::Notify;

use super::market::{TIMEOUT, market_stream, publish_trades, start_market};
use crate::until::until;

const OLD: u64 = 1;
const NEW: u64 = 2;

/// Holds both trades: the old one succeeds once it is let go, the new one fails at its first attempt.
#[derive(Clone, Default)]
struct Holding(Arc<Held>);

#[derive(Default)]
struct Held {
    begun: AtomicUsize,
    old: Notify,
    new: Notify,
    has_failed: AtomicBool,
    handled: Mutex<Vec<u64>>,
}

impl Subscriber<Trade> for Holding {
    async fn on_event(&self, ctx: Context, trade: Trade) -> Result<(), Status> {
        let held = &*self.0;
        assert_eq!(ctx.delivery().unwrap().sequence(), 1);
        held.begun.fetch_add(1, Ordering::SeqCst);
        if trade.number == OLD {
            held.old.notified().await;
        } else if !held.has_failed.swap(true, Ordering::SeqCst) {
            held.new.notified().await;
            return Err(Status::unavailable("not yet"));
        }
        held.handled.lock().unwrap().push(trade.number);
        Ok(())
    }
}

/// Deletes the stream, and declares it as an operator does who restores it.
async fn declare_anew(bus: &Bus) {
    let context = jetstream::new(bus.nats().unwrap().clone());
    context.delete_stream("MARKET").await.unwrap();
    bus.declare(&market_stream()).await.unwrap();
}

/// Asks for the consumer `count` times, one after the other, in which time what was sent before has arrived.
async fn ask(bus: &Bus, count: usize) {
    let context = jetstream::new(bus.nats().unwrap().clone());
    let stream = context.get_stream("MARKET").await.unwrap();
    for _ in 0..count {
        drop(stream.consumer_info("recorder").await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_acknowledgment_settles_no_event_of_the_new_stream() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, [OLD]).await;
        let holding = Holding::default();
        let durable = Durable::named("recorder").backoff([Duration::from_millis(20)]);
        let server = Server::new(&bus).subscribe::<Trade>(holding.clone(), durable);
        let server = server.start().await.unwrap();
        let held = &*holding.0;
        until(|| held.begun.load(Ordering::SeqCst) == 1).await;
        declare_anew(&bus).await;
        publish_trades(&bus, [NEW]).await;
        until(|| held.begun.load(Ordering::SeqCst) == 2).await;

        held.old.notify_one();
        until(|| server.events()[0].handled == 1).await;
        ask(&bus, 50).await;
        held.new.notify_one();
        until(|| *held.handled.lock().unwrap() == [OLD, NEW]).await;
        server.shutdown().await.unwrap();
    })
    .await;
}

/// As above, and the server of the stream is another one meanwhile: the old one kept it in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_acknowledgment_settles_no_event_of_a_stream_that_a_restart_has_lost() {
    within(TIMEOUT, async {
        let (mut nats, bus) = start_market().await;
        let in_memory = || market_stream().in_memory();
        let context = jetstream::new(bus.nats().unwrap().clone());
        context.delete_stream("MARKET").await.unwrap();
        bus.declare(&in_memory()).await.unwrap();
        publish_trades(&bus, [OLD]).await;
        let holding = Holding::default();
        let durable = Durable::named("recorder").backoff([Duration::from_millis(20)]);
        let server = Server::new(&bus).subscribe::<Trade>(holding.clone(), durable);
        let server = server.start().await.unwrap();
        let held = &*holding.0;
        until(|| held.begun.load(Ordering::SeqCst) == 1).await;
        nats.kill().unwrap();
        nats.restart().await.unwrap();
        let other = Bus::connect(nats.url()).await.unwrap();
        other.declare(&in_memory()).await.unwrap();
        publish_trades(&other, [NEW]).await;
        until(|| held.begun.load(Ordering::SeqCst) == 2).await;

        held.old.notify_one();
        until(|| server.events()[0].handled == 1).await;
        ask(&other, 50).await;
        held.new.notify_one();
        until(|| *held.handled.lock().unwrap() == [OLD, NEW]).await;
        server.shutdown().await.unwrap();
    })
    .await;
}
