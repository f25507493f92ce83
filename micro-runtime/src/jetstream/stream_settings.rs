//! The settings of a stream that are compared, and which of their changes delete events. Does no I/O.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::jetstream::differences::Setting;
use crate::jetstream::raw_config::RawConfig;

/// Retention of a stream whose events go with their acknowledgment.
const WORK_QUEUE: &str = "workqueue";
const INTEREST: &str = "interest";

/// Settings of a stream that [`EventStream`](crate::jetstream::EventStream) has. Others, such as the placement in a
/// cluster, are left to operators.
pub(super) const STREAM_SETTINGS: &[Setting] = &[
    Setting::new("subjects", |config| config.texts("subjects").join(", ")),
    Setting {
        name: "retention",
        shown: |config| config.text("retention").to_owned(),
        obstacle: |expected, found| {
            let is_work_queue = [expected, found].contains(&WORK_QUEUE);
            is_work_queue.then_some("JetStream changes no stream to or from a work queue")
        },
    },
    Setting::fixed("storage", |config| config.text("storage").to_owned()),
    Setting::new("discard", |config| config.text("discard").to_owned()),
    Setting::new("replicas", |config| {
        config.number("num_replicas").max(1).to_string()
    }),
    Setting::new("max_age", |config| config.shown_duration("max_age")),
    Setting::new("max_bytes", |config| config.shown_limit("max_bytes")),
    Setting::new("max_events", |config| config.shown_limit("max_msgs")),
    Setting::new("max_events_per_subject", |config| {
        config.shown_limit("max_msgs_per_subject")
    }),
    Setting::new("duplicate_window", |config| {
        config.shown_duration("duplicate_window")
    }),
];

/// State of a stream, as far as updates and declarations depend on it.
#[derive(Deserialize)]
pub(super) struct StoredEvents {
    pub(super) messages: u64,
    bytes: u64,
    #[serde(default)]
    num_subjects: u64,
    #[serde(default)]
    first_ts: String,
    #[serde(default)]
    pub(super) consumer_count: usize,
}

/// Returns a line for each change from `found` to `declared` that deletes events at once.
pub(super) fn deletions(
    declared: &RawConfig,
    found: &RawConfig,
    stored: &StoredEvents,
    now: SystemTime,
) -> Vec<String> {
    let StoredEvents {
        messages, bytes, ..
    } = *stored;
    let limit = |key: &str| u64::try_from(declared.number(key)).unwrap_or_default();
    // A subject has so many events at most; each of the others has one at least.
    let of_one_subject = messages.saturating_sub(stored.num_subjects.saturating_sub(1));
    let exceeded = [
        ("max_events", "max_msgs", messages, "events are stored"),
        ("max_bytes", "max_bytes", bytes, "bytes are stored"),
        (
            "max_events_per_subject",
            "max_msgs_per_subject",
            of_one_subject.min(messages),
            "events may have one subject",
        ),
    ];
    let mut lines = Vec::new();
    for (name, key, stored, unit) in exceeded {
        let limit = limit(key);
        if limit > 0 && stored > limit {
            lines.push(format!("  {name}: expected {limit}, {stored} {unit}"));
        }
    }
    let max_age = declared.duration("max_age");
    let age = age(&stored.first_ts, now);
    if max_age > Duration::ZERO && messages > 0 && age > max_age {
        lines.push(format!(
            "  max_age: expected {max_age:?}, the first of {messages} events is {age:.1?} old"
        ));
    }
    let [expected, before] = [declared, found].map(|config| config.text("retention"));
    if expected == INTEREST && before != INTEREST && messages > 0 {
        lines.push(format!(
            "  retention: expected {INTEREST}, which removes those of {messages} events that every consumer has \
             acknowledged"
        ));
    }
    lines
}

/// Returns the age of an event that was stored at `time`; zero for a time that cannot be read, as that of no event.
fn age(time: &str, now: SystemTime) -> Duration {
    let stored = humantime::parse_rfc3339(time).ok();
    let age = stored.and_then(|stored| now.duration_since(stored).ok());
    age.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_deletes_only_what_is_above_the_new_limit() {
        let stored = StoredEvents {
            messages: 10,
            bytes: 1_000,
            num_subjects: 8,
            first_ts: "2026-01-01T00:00:00.123456789Z".to_owned(),
            consumer_count: 0,
        };
        let now = humantime::parse_rfc3339("2026-01-01T00:01:00Z").unwrap();
        let check = |key: &str, value: serde_json::Value, expected: &str| {
            let (mut declared, mut found) = (RawConfig::default(), RawConfig::default());
            found.set("retention", "limits");
            declared.set("retention", "limits");
            declared.set(key, value);
            let lines = deletions(&declared, &found, &stored, now);
            assert_eq!(lines.join("\n").trim_start(), expected, "{key}");
        };
        check(
            "max_msgs",
            9.into(),
            "max_events: expected 9, 10 events are stored",
        );
        check("max_msgs", 10.into(), "");
        check("max_msgs", (-1).into(), "");
        check(
            "max_bytes",
            999.into(),
            "max_bytes: expected 999, 1000 bytes are stored",
        );
        check("max_bytes", 1_000.into(), "");
        check("max_msgs_per_subject", 3.into(), "");
        let per_subject = "max_events_per_subject: expected 2, 3 events may have one subject";
        check("max_msgs_per_subject", 2.into(), per_subject);
        let second = 1_000_000_000_u64;
        check("max_age", (60 * second).into(), "");
        let old = "max_age: expected 59s, the first of 10 events is 59.9s old";
        check("max_age", (59 * second).into(), old);
        check("max_age", 0.into(), "");
        let interest = "retention: expected interest, which removes those of 10 events that every consumer has acknowledged";
        check("retention", "interest".into(), interest);
    }
}
