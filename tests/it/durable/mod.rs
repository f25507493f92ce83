//! Durable events: streams, acknowledged publishing, consumers that lose nothing, replay.

mod consume;
mod crash;
mod dead_letters;
mod load;
mod publish;
mod recorder;
mod replay;
mod streams;

use std::time::Duration;

use micro_runtime::{Bus, Event as _, EventStream};
use micro_testkit::NatsServer;
use micro_tests::market::Trade;

/// For what is over in a second.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A bus over a nats-server with JetStream, and the stream `MARKET`.
pub(crate) async fn market() -> (NatsServer, Bus) {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    bus.declare(&market_stream()).await.unwrap();
    (nats, bus)
}

pub(crate) fn market_stream() -> EventStream {
    EventStream::named("MARKET").subject("evt.market.>")
}

/// The trade of this number; its id in the stream is [`id`].
pub(crate) fn trade(number: u64) -> Trade {
    Trade {
        venue: "sim".to_owned(),
        symbol: format!("S{}", number % 7),
        price: 1.5,
        number,
    }
}

pub(crate) fn id(number: u64) -> String {
    format!("sim:{number}")
}

/// Publishes the trades of these numbers, and waits until they are stored.
pub(crate) async fn publish(bus: &Bus, numbers: impl IntoIterator<Item = u64>) {
    let publisher = bus.durable_publisher();
    for number in numbers {
        let _stored = publisher
            .publish(&trade(number))
            .id(id(number))
            .send()
            .await
            .unwrap();
    }
    publisher.flush().await.unwrap();
}

/// How many events the stream of all trades has.
pub(crate) async fn stored(bus: &Bus) -> u64 {
    let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
    let name = jetstream
        .stream_by_subject(trade(1).subject().unwrap())
        .await
        .unwrap();
    let stream = jetstream.get_stream(name).await.unwrap();
    stream.cached_info().state.messages
}
