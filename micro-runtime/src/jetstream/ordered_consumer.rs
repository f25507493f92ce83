//! Creates the ordered consumer that a replay reads.

use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};

use crate::bus::Bus;
use crate::jetstream::error::cause;
use crate::jetstream::start_from::StartFrom;
use crate::status::{Reason, Status};

/// An ordered consumer that has begun to read.
pub(super) struct OrderedConsumer {
    /// Its messages, without a gap. async-nats creates the consumer anew behind the last message when it
    /// notices that one is missing.
    pub(super) messages: Ordered,
    /// Number of events that it has to deliver.
    pub(super) pending: u64,
}

impl OrderedConsumer {
    /// Creates the consumer. It lives in the server's memory, acknowledges nothing, and is removed by the
    /// server some time after it is no longer read.
    ///
    /// # Errors
    ///
    /// [`Reason::NotStored`] if the stream cannot be read; [`Reason::NoJetStream`] inside one process.
    pub(super) async fn open(
        bus: &Bus,
        stream: &str,
        filter: &str,
        start: StartFrom,
    ) -> Result<Self, Status> {
        let api = &bus.connection().jetstream_or_status()?.api;
        let config = OrderedConfig {
            filter_subject: filter.to_owned(),
            deliver_policy: start.deliver_policy(),
            ..OrderedConfig::default()
        };
        let consumer = api.create_consumer_on_stream(config, stream).await;
        let consumer = consumer.map_err(|error| unreadable(stream, error))?;
        let pending = consumer.cached_info().num_pending;
        let messages = consumer.messages().await;
        let messages = messages.map_err(|error| unreadable(stream, error))?;
        Ok(Self { messages, pending })
    }
}

/// Returns the status of a stream that cannot be read.
pub(super) fn unreadable(
    stream: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Status {
    Reason::NotStored
        .status(format!(
            "stream `{stream}` cannot be read: {}",
            cause(&error)
        ))
        .with_source(error)
}
