//! Reading dead letters from the stream that stores them.

use async_nats::HeaderMap;
use futures_util::StreamExt as _;
use micro_runtime::Bus;
use micro_tests::market::Trade;

/// A stored dead letter.
pub(super) struct DeadLetter {
    headers: HeaderMap,
    pub(super) payload: bytes::Bytes,
}

impl DeadLetter {
    /// Decodes the payload, and returns the number of the trade.
    pub(super) fn number(&self) -> u64 {
        let trade: Trade = prost::Message::decode(self.payload.clone()).unwrap();
        trade.number
    }

    /// Value of a header; empty if the header is absent.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.as_str())
    }
}

/// Waits until `count` dead letters are stored under the subject, and returns them.
pub(super) async fn read_dead_letters(bus: &Bus, subject: &str, count: usize) -> Vec<DeadLetter> {
    let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
    let name = jetstream.stream_by_subject(subject).await.unwrap();
    let stream = jetstream.get_stream(name).await.unwrap();
    let config = async_nats::jetstream::consumer::pull::OrderedConfig {
        filter_subject: subject.to_owned(),
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let messages = consumer.messages().await.unwrap();
    let letters = messages.take(count).map(|message| {
        let message = message.unwrap().message;
        DeadLetter {
            headers: message.headers.unwrap(),
            payload: message.payload,
        }
    });
    letters.collect().await
}
