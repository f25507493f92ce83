//! The settings of a durable consumer: as they are created, and as they are compared. Does no I/O.

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::jetstream::differences::Setting;
use crate::jetstream::durable::Durable;
use crate::jetstream::raw_config::RawConfig;
use crate::jetstream::start_from::StartFrom;

/// Settings that [`Durable`] has. The start is not among them: it counts once, at the creation, and a consumer that was
/// created again has another one. Others are left to operators.
pub(super) const CONSUMER_SETTINGS: &[Setting] = &[
    Setting::fixed("kind", |config| match config.text("deliver_subject") {
        "" => "pull".to_owned(),
        subject => format!("push to {subject}"),
    }),
    Setting::new("filters", |config| {
        let mut filters = config.texts("filter_subjects");
        let filter = config.text("filter_subject");
        filters.extend((!filter.is_empty()).then(|| filter.to_owned()));
        filters.sort();
        filters.join(", ")
    }),
    Setting::fixed("ack_policy", |config| config.text("ack_policy").to_owned()),
    Setting::new("ack_wait", |config| config.shown_duration("ack_wait")),
    Setting::new("max_ack_pending", |config| {
        config.shown_limit("max_ack_pending")
    }),
    Setting {
        name: "max_deliver",
        shown: |config| config.shown_limit("max_deliver"),
        obstacle: |_, _| Some("at that limit events stay undelivered, without a dead letter"),
    },
];

/// Returns the settings of the consumer at the server. The others of [`Durable`], such as its backoff, are
/// applied by the runtime: a `-NAK` (negative acknowledgment) carries the delay until the event's redelivery.
///
/// `event` is the full name of the message.
pub(super) fn config(durable: &Durable, event: &str, filter: &str) -> RawConfig {
    let mut config = RawConfig::default();
    config.set("durable_name", durable.name.as_str());
    config.set("ack_policy", "explicit");
    config.set("replay_policy", "instant");
    config.set_duration("ack_wait", durable.ack_wait);
    let max_ack_pending: i64 = match durable.is_ordered {
        true => 1,
        // Failing events wait for their next attempt without taking the places of others.
        false => durable.max_ack_pending.map_or(-1, i64::from),
    };
    config.set("max_ack_pending", max_ack_pending);
    // Unlimited, since the runtime counts attempts: at its own limit JetStream stops to deliver an
    // event, without a dead letter and without a trace in any log. An event that ends every process
    // that handles it must still reach the dead letters.
    config.set("max_deliver", -1);
    config.set("filter_subject", filter);
    config.describe(format!("durable events {event}"), durable.rules.version);
    config.set_metadata("micro.event", event);
    config
}

/// Returns the configuration with the position of the first event.
pub(super) fn starting_at(config: &RawConfig, start: StartFrom) -> RawConfig {
    let mut config = config.clone();
    match start {
        StartFrom::First => config.set("deliver_policy", "all"),
        StartFrom::New => config.set("deliver_policy", "new"),
        StartFrom::Sequence(sequence) => {
            config.set("deliver_policy", "by_start_sequence");
            config.set("opt_start_seq", sequence.max(1));
        }
        StartFrom::Time(time) => {
            config.set("deliver_policy", "by_start_time");
            config.set("opt_start_time", json!(rfc3339(time)));
        }
    }
    config
}

/// Returns a time as JetStream has it. One before 1970 is 1970: no event is older; humantime knows the years up to
/// 9999.
fn rfc3339(time: SystemTime) -> String {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_nanos(time.clamp(SystemTime::UNIX_EPOCH, last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_written_as_jetstream_has_it() {
        let check = |start: StartFrom, expected: serde_json::Value| {
            let config = starting_at(&RawConfig::default(), start);
            assert_eq!(json!(config), expected, "{start:?}");
        };
        check(StartFrom::First, json!({"deliver_policy": "all"}));
        check(StartFrom::New, json!({"deliver_policy": "new"}));
        let from = |sequence: u64| json!({"deliver_policy": "by_start_sequence", "opt_start_seq": sequence});
        check(StartFrom::Sequence(7), from(7));
        check(StartFrom::Sequence(0), from(1));
        let at = |time: &str| json!({"deliver_policy": "by_start_time", "opt_start_time": time});
        let epoch = SystemTime::UNIX_EPOCH;
        let second = Duration::from_secs(1);
        check(
            StartFrom::Time(epoch + second),
            at("1970-01-01T00:00:01.000000000Z"),
        );
        check(
            StartFrom::Time(epoch - second),
            at("1970-01-01T00:00:00.000000000Z"),
        );
    }
}
