//! `UnderWay`: what a stopping server waits for, as its log shows it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::Words;
use crate::dispatch::Introspection;
use crate::event::EventCounters;

/// Time after which a stop that still waits logs what it waits for.
const FIRST_REPORT_DELAY: Duration = Duration::from_secs(1);
/// Interval of the further reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Calls and events of one server.
pub(super) struct UnderWay {
    pub(super) introspections: Vec<Arc<Introspection>>,
    pub(super) events: Vec<Arc<EventCounters>>,
}

impl UnderWay {
    /// Returns whether neither a call nor an event is being handled.
    pub(super) fn is_empty(&self) -> bool {
        let has_calls = |one: &Arc<Introspection>| one.running_calls().next().is_some();
        !self.introspections.iter().any(has_calls)
            && self.events.iter().all(|events| events.in_hand() == 0)
    }

    /// Logs what is under way, until the end of the grace period. A program that was asked to end and does not would
    /// look as if it hung.
    pub(super) async fn report_until(&self, grace_end: Instant) {
        let mut report_at = Instant::now() + FIRST_REPORT_DELAY;
        loop {
            tokio::time::sleep_until(report_at.min(grace_end)).await;
            let now = Instant::now();
            if now >= grace_end {
                return;
            }
            let left = Words(Duration::from_secs(
                (grace_end - now).as_secs_f64().ceil() as u64
            ));
            tracing::warn!("the server stops, and waits up to {left} for {self}");
            report_at = now + REPORT_INTERVAL;
        }
    }
}

impl fmt::Display for UnderWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.introspections.iter().flat_map(|one| {
            let running = one.running_calls();
            running.map(|(method, calls)| shown(calls, "call", method))
        });
        let events = self.events.iter().filter_map(|events| {
            let in_hand = events.in_hand();
            (in_hand > 0).then(|| shown(in_hand, "event", events.event().full_name))
        });
        let mut parts: Vec<String> = calls.chain(events).collect();
        if parts.is_empty() {
            // A large reply whose caller has not taken it, or a consumer that returns what it has.
            parts.push("replies and acknowledgments that are on their way".to_owned());
        }
        f.write_str(&parts.join(", "))
    }
}

fn shown(count: usize, what: &str, name: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural} of {name}")
}
