//! The headers of the events of a batch.

use std::sync::{Arc, Mutex};

use micro_runtime::jetstream::{BatchSubscriber, Durable, DurableEvent};
use micro_runtime::{Context, Server, Status};
use micro_testkit::within;
use micro_tests::market::Trade;

use super::market::{TIMEOUT, start_market, trade};
use crate::until::until;

/// Number, tenant, subject and attempt of each event.
type Seen = (u64, Option<String>, String, u64);

#[derive(Clone, Default)]
struct Tenants(Arc<Mutex<Vec<Seen>>>);

impl BatchSubscriber<Trade> for Tenants {
    async fn on_batch(&self, ctx: Context, trades: Vec<DurableEvent<Trade>>) -> Result<(), Status> {
        assert_eq!((ctx.header("tenant"), ctx.subject()), (None, None));
        for trade in trades {
            let own = ctx.for_delivery(&trade.delivery);
            assert_eq!(own.deadline(), ctx.deadline());
            assert_eq!(own.delivery(), Some(&trade.delivery));
            let tenant = own.header("tenant").map(str::to_owned);
            let subject = own.subject().unwrap().to_owned();
            let seen = (trade.number, tenant, subject, own.attempt());
            self.0.lock().unwrap().push(seen);
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_has_the_headers_and_the_subject_of_each_event() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        for number in 0..20 {
            let event = trade(number);
            let publish = bus.publish_durable(&event);
            match number % 2 {
                0 => publish.await.unwrap(),
                _ => publish
                    .header("tenant", format!("t{number}"))
                    .await
                    .unwrap(),
            };
        }
        let tenants = Tenants::default();
        let server = Server::new(&bus)
            .subscribe_batch::<Trade>(tenants.clone(), Durable::named("recorder"))
            .start()
            .await
            .unwrap();
        until(|| tenants.0.lock().unwrap().len() == 20).await;
        for (seen, number) in tenants.0.lock().unwrap().iter().zip(0..) {
            let tenant = (number % 2 == 1).then(|| format!("t{number}"));
            let subject = format!("evt.market.trade.sim.S{}", number % 7);
            assert_eq!(*seen, (number, tenant, subject, 1));
        }
        server.shutdown().await.unwrap();
    })
    .await;
}
