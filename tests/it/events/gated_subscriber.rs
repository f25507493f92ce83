//! A subscriber that waits, fails or panics as the symbol of a trade asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use micro_runtime::{Context, Status, Subscriber, service};
use micro_tests::market::Trade;
use tokio::sync::{Semaphore, mpsc};

/// Subscriber that sends each trade to its test after it has handled it without an error.
#[derive(Clone)]
pub(super) struct GatedSubscriber {
    handled: mpsc::UnboundedSender<(Trade, Context)>,
    /// A handler of a trade with the symbol `wait` takes one permit.
    pub(super) gate: Arc<Semaphore>,
    pub(super) running: Arc<AtomicUsize>,
    pub(super) max_running: Arc<AtomicUsize>,
}

pub(super) type HandledTrades = mpsc::UnboundedReceiver<(Trade, Context)>;

/// Makes a subscriber with a closed gate, and the receiver of the trades that it handles.
pub(super) fn gated_subscriber() -> (GatedSubscriber, HandledTrades) {
    let (handled, receiver) = mpsc::unbounded_channel();
    let subscriber = GatedSubscriber {
        handled,
        gate: Arc::new(Semaphore::new(0)),
        running: Arc::default(),
        max_running: Arc::default(),
    };
    (subscriber, receiver)
}

#[service]
impl Subscriber<Trade> for GatedSubscriber {
    async fn on_event(&self, ctx: Context, event: Trade) -> Result<(), Status> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.max_running.fetch_max(running, Ordering::SeqCst);
        if event.symbol == "wait" {
            self.gate.acquire().await.unwrap().forget();
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        match event.symbol.as_str() {
            "fail" => return Err(Status::not_found("no such account")),
            "panic" => panic!("a bad day"),
            _ => {}
        }
        let _ = self.handled.send((event, ctx));
        Ok(())
    }
}

/// Waits for the next handled trade, and returns its number.
pub(super) async fn next_number(handled: &mut HandledTrades) -> u64 {
    handled.recv().await.unwrap().0.number
}
