//! Handlers of events: with `&self` and `Arc<Self>`, of two events, generic, through a path.
#![expect(unused_qualifications, reason = "the case has both spellings")]

use std::sync::Arc;

use micro_runtime::{Bus, Context, Server, Status, Subscriber, Subscription, service};
use micro_ui_tests::market;
use micro_ui_tests::market::{Closed, Trade};

#[derive(Clone)]
struct Recorder;

#[service]
impl Subscriber<Trade> for Recorder {
    async fn on_event(&self, _ctx: Context, trade: Trade) -> Result<(), Status> {
        let _ = trade.price;
        Ok(())
    }
}

#[service]
impl Subscriber<Closed> for Recorder {
    async fn on_event(
        self: Arc<Self>,
        _: Context,
        Closed { number }: Closed,
    ) -> Result<(), Status> {
        let _ = number;
        Ok(())
    }
}

struct With<T>(T);

#[service]
impl<T: Send + Sync + 'static> micro_runtime::Subscriber<market::Order> for With<T> {
    async fn on_event(&self, _: Context, _: market::Order) -> Result<(), Status> {
        let _ = &self.0;
        Ok(())
    }
}

struct Plain;

impl Subscriber<Trade> for Plain {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        Ok(())
    }
}

#[test]
fn builds() {
    let _ = Server::new(&Bus::in_process())
        .subscribe::<Trade>(Recorder, Subscription::queue("recorder"))
        .subscribe::<Closed>(Arc::new(Recorder), Subscription::broadcast())
        .subscribe::<market::Order>(With(1), Subscription::broadcast().max_concurrent(4))
        .subscribe::<Trade>(
            Plain,
            Subscription::broadcast().ordered_by(|trade: &Trade| trade.number),
        );
}
