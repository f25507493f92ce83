//! A duration as a whole number of nanoseconds in a record. Fractions and null are read, too.

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
