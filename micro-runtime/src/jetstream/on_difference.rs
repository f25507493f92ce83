//! `OnDifference`: the effect of a declaration on a stream or consumer that exists with other settings.

/// Effect of a declaration on a stream or a consumer that exists with other settings.
///
/// It holds where a program declares: in [`Bus::declare`](crate::Bus::declare) and at the start of a server. A consumer
/// that runs is never compared again: an operator may edit it, and it runs on, also after nats-server was restarted.
///
/// Compared are the settings that [`EventStream`](crate::jetstream::EventStream) and
/// [`Durable`](crate::jetstream::Durable) have, but for descriptions, metadata and the position of the first event,
/// which counts at the creation alone. What operators set besides, such as the placement, is never changed.
///
/// # Rolling changes
///
/// In a rolling deployment old and new processes run side by side, and an old one may start after a new one. Give the
/// declarations a version ([`EventStream::version`](crate::jetstream::EventStream::version),
/// [`Durable::version`](crate::jetstream::Durable::version)) and raise it with each change: then the highest one wins,
/// and programs with a lower one, or the same, run on with what they find.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use micro_runtime::jetstream::{Durable, EventStream, OnDifference};
///
/// // The second version of both: more events are kept, and a killed process is noticed sooner.
/// let market = EventStream::named("MARKET")
///     .subject("evt.market.>")
///     .max_events(10_000_000)
///     .on_difference(OnDifference::Update)
///     .version(2);
/// let recorder = Durable::named("recorder")
///     .ack_wait(Duration::from_secs(10))
///     .on_difference(OnDifference::Update)
///     .version(2);
/// # let _ = (market, recorder);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDifference {
    /// The declaration fails with both sides of each difference.
    #[default]
    Fail,
    /// JetStream gets the declared settings, which hold at once and for all processes.
    ///
    /// The declaration fails where JetStream does not change a setting of what exists, and where the change would
    /// delete events ([`EventStream::allow_deleting`](crate::jetstream::EventStream::allow_deleting) permits that). One
    /// with a version that is not above that of what exists changes nothing, and is none that fails; one without a
    /// version changes what has no version.
    Update,
    /// The program uses what exists. The differences are logged.
    Keep,
}

/// Rules of one declaration for what exists with other settings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DifferenceRules {
    pub(super) on_difference: OnDifference,
    /// Version of the declaration; `None` without one.
    pub(super) version: Option<u64>,
    /// Whether an update may delete events.
    pub(super) may_delete: bool,
    /// Whether the declaration has a description of its own, which then replaces another one.
    pub(super) is_described: bool,
}

impl DifferenceRules {
    /// Returns whether an update is left to others: `found` is the version of what exists.
    pub(super) fn is_outdated(self, found: Option<u64>) -> bool {
        match (self.version, found) {
            (Some(own), found) => own <= found.unwrap_or(0),
            (None, found) => found.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_updates() {
        let check = |version: Option<u64>, found: Option<u64>, is_outdated: bool| {
            let rules = DifferenceRules {
                version,
                ..DifferenceRules::default()
            };
            assert_eq!(
                rules.is_outdated(found),
                is_outdated,
                "{version:?} {found:?}"
            );
        };
        check(None, None, false);
        check(None, Some(1), true);
        check(Some(1), None, false);
        check(Some(1), Some(1), true);
        check(Some(1), Some(2), true);
        check(Some(2), Some(1), false);
    }
}
