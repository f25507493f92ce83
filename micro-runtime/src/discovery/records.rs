//! What an instance says of itself: ADR-32's records as types and as JSON. Pure.
//!
//! Written with every field that the tools require; read with patience for other libraries, which
//! leave fields out or send null.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

/// Keys and values about a service, an instance or an endpoint.
pub type Labels = BTreeMap<String, String>;

/// An instance, as it answers a PING.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "io.nats.micro.v1.ping_response")]
#[non_exhaustive]
pub struct Instance {
    /// The ADR-32 name of its service, as in `greeter-v1-Greeter`.
    pub name: String,
    /// Its own name, which no other instance of the service has.
    pub id: String,
    /// The version of the service, a SemVer.
    pub version: String,
    /// What the service says besides; the runtime's own keys begin with `micro.`.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Labels,
}

/// An instance with its endpoints, as it answers INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "io.nats.micro.v1.info_response")]
#[non_exhaustive]
pub struct Info {
    /// The ADR-32 name of the service.
    pub name: String,
    /// The instance.
    pub id: String,
    /// The version of the service, a SemVer.
    pub version: String,
    /// What the service says besides.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Labels,
    /// What the service is for.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// Its endpoints: for a service of ours, its methods in the order of the .proto.
    #[serde(default, deserialize_with = "or_default")]
    pub endpoints: Vec<EndpointInfo>,
}

/// One endpoint of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndpointInfo {
    /// The name: for a service of ours, the method.
    pub name: String,
    /// The subject that it is called on.
    pub subject: String,
    /// The queue group that shares the calls, empty if there is none.
    #[serde(default, deserialize_with = "or_default")]
    pub queue_group: String,
    /// What the service says of it.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Labels,
}

/// What an instance has counted, as it answers STATS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "io.nats.micro.v1.stats_response")]
#[non_exhaustive]
pub struct Stats {
    /// The ADR-32 name of the service.
    pub name: String,
    /// The instance.
    pub id: String,
    /// The version of the service, a SemVer.
    pub version: String,
    /// What the service says besides.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Labels,
    /// Since when it counts, in RFC 3339; resetting begins anew.
    #[serde(default, deserialize_with = "or_default")]
    pub started: String,
    /// The counts of its endpoints.
    #[serde(default, deserialize_with = "or_default")]
    pub endpoints: Vec<EndpointStats>,
    /// What services of ours add.
    #[serde(default, deserialize_with = "if_ours")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<InstanceData>,
}

/// What one endpoint has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndpointStats {
    /// The name: for a service of ours, the method.
    pub name: String,
    /// The subject that it is called on.
    pub subject: String,
    /// The queue group that shares the calls, empty if there is none.
    #[serde(default, deserialize_with = "or_default")]
    pub queue_group: String,
    /// The requests that came, the failures among them.
    #[serde(default, deserialize_with = "or_default")]
    pub num_requests: u64,
    /// The requests that failed.
    #[serde(default, deserialize_with = "or_default")]
    pub num_errors: u64,
    /// The last failure as `code:text`, empty if there was none.
    #[serde(default, deserialize_with = "or_default")]
    pub last_error: String,
    /// The time from receipt to reply, of all requests together.
    #[serde(default, with = "nanoseconds")]
    pub processing_time: Duration,
    /// The same for one request.
    #[serde(default, with = "nanoseconds")]
    pub average_processing_time: Duration,
    /// What services of ours add.
    #[serde(default, deserialize_with = "if_ours")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<EndpointData>,
}

/// What an instance of ours adds to its statistics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstanceData {
    /// How long it has been running; resetting does not change it.
    #[serde(rename = "uptime_ns", with = "nanoseconds")]
    pub uptime: Duration,
    /// Whether it works at all: every liveness check passed when they were last run.
    pub is_live: bool,
    /// Whether it can take calls: it is not stopping, and every check passed.
    pub is_ready: bool,
    /// The checks that the server was given.
    #[serde(default)]
    pub checks: Vec<CheckOutcome>,
}

/// How one check of an instance ended when it was last run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckOutcome {
    /// The name that the check was added under.
    pub name: String,
    /// Whether it is about being alive, and not just about taking calls.
    pub is_liveness: bool,
    /// Why it failed, empty if it passed.
    pub error: String,
}

/// What an endpoint of ours adds to its statistics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndpointData {
    /// The calls that run now.
    pub in_flight: u64,
    /// The requests that a limit turned away; they are among the failures.
    pub shed: u64,
    /// Half of the requests took at most this long, to within an eighth.
    #[serde(rename = "p50_ns", with = "nanoseconds")]
    pub p50: Duration,
    /// All but a hundredth of the requests took at most this long, to within an eighth.
    #[serde(rename = "p99_ns", with = "nanoseconds")]
    pub p99: Duration,
}

/// An instance says that it came or goes; not ADR-32's, but of the same form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LifecycleEvent {
    #[serde(rename = "type")]
    pub(crate) kind: EventKind,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) version: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) metadata: Labels,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EventKind {
    #[serde(rename = "micro.v1.instance_started")]
    Started,
    #[serde(rename = "micro.v1.instance_stopping")]
    Stopping,
}

/// A record that an answer can be read as.
pub trait JsonRecord: for<'de> Deserialize<'de> {
    const TYPE: &'static str;

    fn instance(&self) -> (&str, &str);
}

macro_rules! records {
    ($($record:ident $kind:literal)*) => {$(
        impl JsonRecord for $record {
            const TYPE: &'static str = $kind;

            fn instance(&self) -> (&str, &str) {
                (&self.name, &self.id)
            }
        }
    )*};
}

records! {
    Instance "io.nats.micro.v1.ping_response"
    Info "io.nats.micro.v1.info_response"
    Stats "io.nats.micro.v1.stats_response"
}

/// Reads an answer; `None` if it is another kind of record, or none.
pub(crate) fn read<R: JsonRecord>(json: &[u8]) -> Option<R> {
    #[derive(Deserialize)]
    struct TypedRecord {
        #[serde(rename = "type")]
        kind: String,
    }
    let typed = serde_json::from_slice::<TypedRecord>(json).ok()?;
    (typed.kind == R::TYPE).then_some(())?;
    serde_json::from_slice(json).ok()
}

/// Writes a record. Text keys and plain values cannot fail.
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

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Other libraries put anything there.
fn if_ours<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: for<'a> Deserialize<'a>,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// A duration as a whole number of nanoseconds; a fraction or null is read too.
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
