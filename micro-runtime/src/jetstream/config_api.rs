//! Requests of JetStream's API about configurations, as JSON with all that this library does not know.

use serde::Deserialize;
use serde_json::json;

use crate::jetstream::api::{Api, ApiError};
use crate::jetstream::raw_config::RawConfig;
use crate::jetstream::stream_settings::StoredEvents;

/// Reply of `STREAM.INFO`.
#[derive(Deserialize)]
pub(super) struct StreamDetails {
    pub(super) config: RawConfig,
    /// Time of the creation, by which a stream that was declared again differs.
    pub(super) created: String,
    pub(super) state: StoredEvents,
}

/// Reply of `CONSUMER.INFO`.
#[derive(Deserialize)]
pub(super) struct ConsumerDetails {
    pub(super) config: RawConfig,
    ack_floor: StreamPosition,
    delivered: StreamPosition,
    #[serde(default)]
    num_ack_pending: u64,
}

/// Position of a consumer in its stream.
#[derive(Deserialize)]
struct StreamPosition {
    stream_seq: u64,
}

impl ConsumerDetails {
    /// Returns the sequence up to which every event is acknowledged, terminated or not for this consumer.
    pub(super) fn settled(&self) -> u64 {
        self.ack_floor.stream_seq
    }

    /// Returns whether events were delivered that are not settled.
    pub(super) fn is_unsettled(&self) -> bool {
        self.num_ack_pending > 0 || self.ack_floor.stream_seq < self.delivered.stream_seq
    }
}

/// Way of changing a stream or a consumer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ConfigChange {
    /// Fails if it exists with another configuration.
    Create,
    /// Fails unless it exists, and replaces its configuration as a whole.
    Update,
}

impl Api<'_> {
    /// Returns configuration and state of a stream.
    pub(super) async fn stream_details(&self, stream: &str) -> Result<StreamDetails, ApiError> {
        self.request("STREAM.INFO", &[stream], None, &json!(null))
            .await
    }

    /// Creates a stream, or updates one.
    pub(super) async fn put_stream(
        &self,
        change: ConfigChange,
        config: &RawConfig,
    ) -> Result<StreamDetails, ApiError> {
        let verb = match change {
            ConfigChange::Create => "STREAM.CREATE",
            ConfigChange::Update => "STREAM.UPDATE",
        };
        self.request(verb, &[config.text("name")], None, &json!(config))
            .await
    }

    /// Returns configuration and state of a consumer.
    pub(super) async fn consumer_details(
        &self,
        stream: &str,
        consumer: &str,
    ) -> Result<ConsumerDetails, ApiError> {
        let names = [stream, consumer];
        self.request("CONSUMER.INFO", &names, None, &json!(null))
            .await
    }

    /// Creates a durable consumer, or updates one.
    pub(super) async fn put_consumer(
        &self,
        stream: &str,
        change: ConfigChange,
        config: &RawConfig,
    ) -> Result<ConsumerDetails, ApiError> {
        let names = [stream, config.text("durable_name")];
        let action = match change {
            ConfigChange::Create => "create",
            ConfigChange::Update => "update",
        };
        // One with several filters has none in the subject of the request.
        let filter = config.text("filter_subject");
        let filter = (!filter.is_empty()).then_some(filter);
        let request = json!({ "stream_name": stream, "config": config, "action": action });
        self.request("CONSUMER.CREATE", &names, filter, &request)
            .await
    }
}
