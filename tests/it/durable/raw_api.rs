//! Requests to JetStream's API by hand, as an operator's tool makes them.

use micro_runtime::Bus;
use serde_json::Value;

/// Sends a request, and returns the reply; `Value::Null` is no payload.
pub(super) async fn request(bus: &Bus, subject: &str, payload: Value) -> Value {
    let payload = match payload {
        Value::Null => String::new(),
        payload => payload.to_string(),
    };
    let client = bus.nats().unwrap();
    let reply = client
        .request(format!("$JS.API.{subject}"), payload.into())
        .await;
    serde_json::from_slice(&reply.unwrap().payload).unwrap()
}

/// Sends a request that JetStream must not reject.
pub(super) async fn accepted(bus: &Bus, subject: &str, payload: Value) -> Value {
    let reply = request(bus, subject, payload).await;
    assert!(reply.get("error").is_none(), "{subject}: {reply}");
    reply
}

/// Returns the configuration of a stream.
pub(super) async fn stream_config(bus: &Bus, stream: &str) -> Value {
    let subject = format!("STREAM.INFO.{stream}");
    accepted(bus, &subject, Value::Null).await["config"].take()
}

/// Returns the configuration of a consumer.
pub(super) async fn consumer_config(bus: &Bus, stream: &str, consumer: &str) -> Value {
    let subject = format!("CONSUMER.INFO.{stream}.{consumer}");
    accepted(bus, &subject, Value::Null).await["config"].take()
}

/// Edits fields of a stream, as `nats stream edit` does.
pub(super) async fn edit_stream(bus: &Bus, stream: &str, fields: Value) {
    let config = edited(stream_config(bus, stream).await, &fields);
    accepted(bus, &format!("STREAM.UPDATE.{stream}"), config).await;
}

/// Edits fields of a consumer, as `nats consumer edit` does.
pub(super) async fn edit_consumer(bus: &Bus, stream: &str, consumer: &str, fields: Value) {
    let config = edited(consumer_config(bus, stream, consumer).await, &fields);
    let request = serde_json::json!({"stream_name": stream, "config": config, "action": "update"});
    let subject = match config["filter_subject"].as_str() {
        Some(filter) => format!("CONSUMER.CREATE.{stream}.{consumer}.{filter}"),
        None => format!("CONSUMER.CREATE.{stream}.{consumer}"),
    };
    accepted(bus, &subject, request).await;
}

/// Deletes a consumer.
pub(super) async fn delete_consumer(bus: &Bus, stream: &str, consumer: &str) {
    let subject = format!("CONSUMER.DELETE.{stream}.{consumer}");
    accepted(bus, &subject, Value::Null).await;
}

/// Deletes a stream with its consumers.
pub(super) async fn delete_stream(bus: &Bus, stream: &str) {
    accepted(bus, &format!("STREAM.DELETE.{stream}"), Value::Null).await;
}

fn edited(mut config: Value, fields: &Value) -> Value {
    for (key, value) in fields.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}
