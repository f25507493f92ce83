//! The stream `MARKET` on a private nats-server, and the numbered trades that tests store in it.

use std::time::Duration;

use micro_runtime::jetstream::EventStream;
use micro_runtime::{Bus, Event as _};
use micro_testkit::NatsServer;
use micro_tests::market::Trade;

/// Timeout of a test that takes about a second.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// Starts a nats-server with JetStream, and declares the stream `MARKET`.
pub(super) async fn start_market() -> (NatsServer, Bus) {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    bus.declare(&market_stream()).await.unwrap();
    (nats, bus)
}

pub(crate) fn market_stream() -> EventStream {
    EventStream::named("MARKET").subject("evt.market.>")
}

/// Trade with this number; [`publish_trades`] stores it under the id [`trade_id`].
pub(crate) fn trade(number: u64) -> Trade {
    Trade {
        venue: "sim".to_owned(),
        symbol: format!("S{}", number % 7),
        price: 1.5,
        number,
    }
}

pub(super) fn trade_id(number: u64) -> String {
    format!("sim:{number}")
}

/// Publishes the trades with these numbers, and waits until they are stored.
pub(crate) async fn publish_trades(bus: &Bus, numbers: impl IntoIterator<Item = u64>) {
    let publisher = bus.durable_publisher();
    for number in numbers {
        let _stored = publisher
            .publish(&trade(number))
            .id(trade_id(number))
            .wait_for_ready()
            .send()
            .await
            .unwrap();
    }
    publisher.flush().await.unwrap();
}

/// Returns the number of events in the stream that stores trades.
pub(super) async fn stored_events(bus: &Bus) -> u64 {
    let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
    let name = jetstream
        .stream_by_subject(trade(1).subject().unwrap())
        .await
        .unwrap();
    let stream = jetstream.get_stream(name).await.unwrap();
    stream.cached_info().state.messages
}
