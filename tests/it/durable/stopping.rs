//! Handlers of durable events that wait hear of the stop of their server, and finish what they have taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::jetstream::{BatchSubscriber, Durable, DurableEvent};
use micro_runtime::{Context, Server, Status, Subscriber};
use micro_testkit::within;
use micro_tests::market::Trade;

use super::market::{TIMEOUT, publish_trades, start_market};
use crate::until::until;

#[derive(Clone, Default)]
struct WaitsForStop(Arc<AtomicUsize>);

impl WaitsForStop {
    async fn wait(&self, ctx: Context) -> Result<(), Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        ctx.stopping().await;
        assert!(ctx.is_stopping());
        Ok(())
    }
}

impl Subscriber<Trade> for WaitsForStop {
    async fn on_event(&self, ctx: Context, _trade: Trade) -> Result<(), Status> {
        self.wait(ctx).await
    }
}

impl BatchSubscriber<Trade> for WaitsForStop {
    async fn on_batch(&self, ctx: Context, _: Vec<DurableEvent<Trade>>) -> Result<(), Status> {
        self.wait(ctx).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_wait_hear_of_a_stop_and_acknowledge() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 0..3).await;
        let (single, batch) = (WaitsForStop::default(), WaitsForStop::default());
        let server = Server::new(&bus)
            .subscribe::<Trade>(single.clone(), Durable::named("single"))
            .subscribe_batch::<Trade>(batch.clone(), Durable::named("batch"))
            .grace(Duration::from_secs(600))
            .start()
            .await
            .unwrap();
        let waiting = |handler: &WaitsForStop| handler.0.load(Ordering::SeqCst);
        until(|| waiting(&single) == 3 && waiting(&batch) == 1).await;
        server.shutdown().await.unwrap();

        // What was handled is not delivered again.
        let server = Server::new(&bus)
            .subscribe::<Trade>(single.clone(), Durable::named("single"))
            .start()
            .await
            .unwrap();
        publish_trades(&bus, 3..4).await;
        until(|| waiting(&single) == 4).await;
        let received = server.events()[0].received;
        assert_eq!(received, 1);
        server.shutdown().await.unwrap();
    })
    .await;
}
