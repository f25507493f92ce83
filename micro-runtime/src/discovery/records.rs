//! Records of ADR-32 that instances reply with, as types and as JSON. Pure.
//!
//! They are written with every field that tools require, empty or not, and read leniently (`lenient`): other libraries
//! leave fields out, or send null. `data`, which ADR-32 leaves to each library, is read if it has our fields.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::discovery::invalid_field::InvalidField;
use crate::discovery::lenient;

/// Metadata of a service, an instance or an endpoint: texts by key.
pub type Labels = BTreeMap<String, String>;

/// An instance: the record that it replies with to PING.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "io.nats.micro.v1.ping_response")]
#[non_exhaustive]
pub struct Instance {
    /// ADR-32 name of its service, as in `greeter-v1-Greeter`.
    pub name: String,
    /// Id, which no other instance of the service has.
    pub id: String,
    /// SemVer version of the service.
    #[serde(default)]
    pub version: String,
    /// Metadata of the service. The keys of this runtime begin with `micro.`, as `micro.schema`, the SHA-256 of the
    /// service's descriptors.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Labels,
}

/// An instance with its endpoints: the record that it replies with to INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "io.nats.micro.v1.info_response")]
#[non_exhaustive]
pub struct Info {
    /// ADR-32 name of the service.
    pub name: String,
    /// Id of the instance.
    pub id: String,
    /// SemVer version of the service.
    #[serde(default)]
    pub version: String,
    /// Metadata of the service.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Labels,
    /// Description of the service.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// Endpoints; those of a service of this library are its methods, in the order of the .proto.
    #[serde(default, deserialize_with = "or_default")]
    pub endpoints: Vec<EndpointInfo>,
}

/// One endpoint of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndpointInfo {
    /// Name; that of an endpoint of this library is the method's.
    pub name: String,
    /// Subject of requests.
    pub subject: String,
    /// Queue group; empty if there is none, so that every instance gets every request.
    #[serde(default, deserialize_with = "or_default")]
    pub queue_group: String,
    /// Metadata of the endpoint, as `micro.kind` and `micro.timeout_ms`.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Labels,
}

/// Statistics of an instance: the record that it replies with to STATS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "io.nats.micro.v1.stats_response")]
#[non_exhaustive]
pub struct Stats {
    /// ADR-32 name of the service.
    pub name: String,
    /// Id of the instance.
    pub id: String,
    /// SemVer version of the service.
    #[serde(default)]
    pub version: String,
    /// Metadata of the service.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Labels,
    /// Time since which it counts, in RFC 3339: its start, or the last reset.
    #[serde(default, deserialize_with = "or_default")]
    pub started: String,
    /// Statistics of its endpoints.
    #[serde(default, deserialize_with = "or_default")]
    pub endpoints: Vec<EndpointStats>,
    /// Further statistics; `None` for an instance of another library.
    #[serde(default, deserialize_with = "if_known")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<InstanceData>,
}

/// Statistics of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Name; that of an endpoint of this library is the method's.
    pub name: String,
    /// Subject of requests.
    pub subject: String,
    /// Queue group; empty if there is none, so that every instance gets every request.
    #[serde(default, deserialize_with = "or_default")]
    pub queue_group: String,
    /// Number of requests, including those that failed and those that a limit rejected.
    #[serde(default, deserialize_with = "or_default")]
    pub num_requests: u64,
    /// Number of requests that failed.
    #[serde(default, deserialize_with = "or_default")]
    pub num_errors: u64,
    /// Last failure as `<Nats-Service-Error-Code>:<text>`; empty if there was none.
    #[serde(default, deserialize_with = "or_default")]
    pub last_error: String,
    /// Sum of the times from receiving a request to its reply.
    #[serde(default, with = "nanoseconds")]
    pub processing_time: Duration,
    /// Average time from receiving a request to its reply.
    #[serde(default, with = "nanoseconds")]
    pub average_processing_time: Duration,
    /// Further statistics; `None` for an instance of another library.
    #[serde(default, deserialize_with = "if_known")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<EndpointData>,
}

/// Statistics of an instance that this library adds to those of ADR-32.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstanceData {
    /// Time since its start, which a reset does not change.
    #[serde(rename = "uptime_ns", with = "nanoseconds")]
    pub uptime: Duration,
    /// Whether it works: every liveness check passed in its last run.
    pub is_live: bool,
    /// Whether it takes calls: it is not stopping, no connection of its bus to NATS is lost, and every check passed in
    /// its last run.
    pub is_ready: bool,
    /// Outcomes of the checks that were added to the server.
    #[serde(default)]
    pub checks: Vec<CheckOutcome>,
    /// Replies since its start that NATS did not let it publish: its user lacks a permission. Its callers have
    /// waited in vain. The number is that of the connection, which instances may share.
    #[serde(default)]
    pub refused_replies: u64,
    /// Bytes that its server holds for callers now, of its memory budget.
    #[serde(default)]
    pub held_bytes: u64,
    /// Times since the start of its server that something was refused since the memory budget was used up, or the share
    /// of its caller.
    #[serde(default)]
    pub refused_for_memory: u64,
}

/// Outcome of the last run of a health check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckOutcome {
    /// Name of the check.
    pub name: String,
    /// Whether it is a liveness check; a readiness check only decides whether the instance takes calls.
    pub is_liveness: bool,
    /// Error of the check; empty if it passed.
    pub error: String,
}

/// Statistics of an endpoint that this library adds to those of ADR-32.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndpointData {
    /// Number of calls that run now.
    pub in_flight: u64,
    /// Number of requests that a limit rejected; they are among the failures.
    pub shed: u64,
    /// Median of the times, to within an eighth.
    #[serde(rename = "p50_ns", with = "nanoseconds")]
    pub p50: Duration,
    /// 99th percentile of the times, to within an eighth.
    #[serde(rename = "p99_ns", with = "nanoseconds")]
    pub p99: Duration,
}

/// Announcement of an instance that it has started, or that it stops. ADR-32 has none; the form is that of a PING
/// record with another `type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LifecycleEvent {
    #[serde(rename = "type")]
    pub(crate) kind: EventKind,
    pub(crate) name: String,
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) metadata: Labels,
}

/// `type` of a [`LifecycleEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EventKind {
    #[serde(rename = "micro.v1.instance_started")]
    Started,
    #[serde(rename = "micro.v1.instance_stopping")]
    Stopping,
}

/// A record with a `type` that identifies its kind.
pub trait JsonRecord: DeserializeOwned {
    /// Value of `type`.
    const TYPE: &'static str;

    /// Returns the ADR-32 name of the service and the id of the instance.
    fn instance(&self) -> (&str, &str);

    /// Returns the metadata of the service.
    fn metadata(&self) -> &Labels;
}

macro_rules! records {
    ($($record:ident $kind:literal)*) => {$(
        impl JsonRecord for $record {
            const TYPE: &'static str = $kind;

            fn instance(&self) -> (&str, &str) {
                (&self.name, &self.id)
            }

            fn metadata(&self) -> &Labels {
                &self.metadata
            }
        }
    )*};
}

records! {
    Instance "io.nats.micro.v1.ping_response"
    Info "io.nats.micro.v1.info_response"
    Stats "io.nats.micro.v1.stats_response"
}

/// Reads a record, and returns the fields that were left out because they cannot be read.
///
/// # Errors
///
/// Of bytes that are no record of this kind.
pub(crate) fn read<R: JsonRecord>(json: &[u8]) -> Result<(R, Vec<InvalidField>), InvalidField> {
    read_typed(json, |kind| kind == R::TYPE)
}

/// Reads the announcement of a start or a stop, as [`read`] does.
///
/// # Errors
///
/// Of bytes that are no announcement.
pub(crate) fn read_event(json: &[u8]) -> Result<(LifecycleEvent, Vec<InvalidField>), InvalidField> {
    read_typed(json, |kind| kind.starts_with("micro.v1.instance_"))
}

fn read_typed<T: DeserializeOwned>(
    json: &[u8],
    is_wanted: impl FnOnce(&str) -> bool,
) -> Result<(T, Vec<InvalidField>), InvalidField> {
    let value = serde_json::from_slice::<Value>(json).unwrap_or_default();
    let Value::Object(mut record) = value else {
        return Err(InvalidField {
            service: String::new(),
            field: String::new(),
            found: "a message that is no JSON object",
        });
    };
    let left_out = lenient::repair(&mut record);
    let service = record.get("name").and_then(Value::as_str);
    let service = service.unwrap_or_default().to_owned();
    let invalid = |field: &str, found| InvalidField {
        service: service.clone(),
        field: field.to_owned(),
        found,
    };
    let text = |field: &str| record.get(field).and_then(Value::as_str);
    if !text("type").is_some_and(is_wanted) {
        return Err(invalid("type", "another record than the one asked for"));
    }
    for field in ["name", "id"] {
        if text(field).is_none_or(str::is_empty) {
            return Err(invalid(field, "nothing, so that the instance has no name"));
        }
    }
    let invalid_fields = left_out
        .into_iter()
        .map(|(field, found)| invalid(&field, found))
        .collect();
    match serde_json::from_value(Value::Object(record)) {
        Ok(record) => Ok((record, invalid_fields)),
        Err(_) => Err(invalid("", "no record of ADR-32")),
    }
}

/// Writes a record. Serializing text keys and plain values cannot fail.
pub(crate) fn write(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

impl LifecycleEvent {
    pub(crate) fn new(kind: EventKind, instance: &Instance) -> Self {
        let Instance {
            name,
            id,
            version,
            metadata,
        } = instance.clone();
        Self {
            kind,
            name,
            id,
            version,
            metadata,
        }
    }

    pub(crate) fn into_instance(self) -> Instance {
        Instance {
            name: self.name,
            id: self.id,
            version: self.version,
            metadata: self.metadata,
        }
    }
}

/// Reads null as the default value.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a value of this library; `None` for anything else, since other libraries put anything there.
fn if_known<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: for<'a> Deserialize<'a>,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// A duration as a whole number of nanoseconds. Fractions and null are read, too.
mod nanoseconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let value = serde_json::Value::deserialize(from)?;
        let whole = value.as_u64().map(Duration::from_nanos);
        let fraction = || {
            let seconds = value.as_f64()? / 1e9;
            Duration::try_from_secs_f64(seconds).ok()
        };
        Ok(whole.or_else(fraction).unwrap_or_default())
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "foreign_records_tests.rs"]
mod foreign_tests;
