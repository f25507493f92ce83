//! `Durable`: how a named consumer reads its events, retries them, and gives up on one.

use std::time::{Duration, SystemTime};

use crate::event::EventFilter;
use crate::status::Status;

/// Attempts before an event goes to the dead letters, where those are wanted.
const MAX_DELIVER: u64 = 5;
const BACKOFF: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];
const ACK_WAIT: Duration = Duration::from_secs(30);
const MAX_ACK_PENDING: u32 = 1000;
pub(super) const WORKERS: usize = 16;
const BATCH: usize = 256;

/// A subscription that loses nothing: a named consumer of a stream, whose place JetStream keeps.
///
/// All processes that use one name share the work. An event is acknowledged after its handler
/// succeeded; one whose handler failed or whose process died is delivered again. So a handler may
/// see an event twice and must bear it: [`Delivery`](crate::jetstream::Delivery) names each event for good.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use micro_runtime::jetstream::Durable;
///
/// let recorder = Durable::named("recorder")
///     .max_concurrent(8)
///     .backoff([Duration::from_millis(100), Duration::from_secs(5)])
///     .max_deliver(4)
///     .dead_letter();
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until they are given to `Server::subscribe`"]
pub struct Durable {
    pub(super) name: String,
    pub(super) stream: Option<String>,
    pub(super) filter: Option<Result<String, Status>>,
    pub(super) start: StartFrom,
    pub(super) workers: Option<usize>,
    pub(super) prefetch: Option<usize>,
    pub(super) batch: usize,
    pub(super) is_ordered: bool,
    pub(super) ack_wait: Duration,
    pub(super) max_ack_pending: u32,
    pub(super) max_deliver: Option<u64>,
    pub(super) backoff: Vec<Duration>,
    pub(super) dead_letter: DeadLetter,
}

/// Where a consumer or a replay begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartFrom {
    /// With the oldest event that the stream still has.
    #[default]
    First,
    /// With what is stored from now on.
    New,
    /// With this number of the stream.
    Sequence(u64),
    /// With the first event that was stored then or later.
    Time(SystemTime),
}

/// What becomes of events that are given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum DeadLetter {
    /// Nothing: handlers' failures are tried again for ever, what is no event is dropped with a
    /// word in the log.
    #[default]
    Off,
    /// They go to the subject that the protocol names.
    Default,
    /// They go there.
    To(String),
}

impl Durable {
    /// Names the consumer: no dot, space, `*` or `>`. It is created on the first start and stays
    /// when every process stops; remove it with `nats consumer rm`.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            stream: None,
            filter: None,
            start: StartFrom::First,
            workers: None,
            prefetch: None,
            batch: BATCH,
            is_ordered: false,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_ACK_PENDING,
            max_deliver: None,
            backoff: BACKOFF.into(),
            dead_letter: DeadLetter::Off,
        }
    }

    /// Reads from this stream. By default from the one that stores the events' subjects.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = Some(name.into());
        self
    }

    /// Takes only the events that the filter picks, as in `TradeFilter::new().venue("kraken")`.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "as everywhere else a filter is given away"
    )]
    pub fn filter(mut self, filter: impl EventFilter) -> Self {
        self.filter = Some(filter.subject());
        self
    }

    /// Begins there when the consumer is created. [`StartFrom::First`] by default: what was published
    /// before the first start is not skipped.
    pub fn start_from(mut self, start: StartFrom) -> Self {
        self.start = start;
        self
    }

    /// How many handlers run at a time in this process. 16 by default; one where events come in
    /// batches.
    pub fn max_concurrent(mut self, handlers: usize) -> Self {
        self.workers = Some(handlers.max(1));
        self
    }

    /// How many events wait in this process behind those that are handled. As many as are handled
    /// at a time by default; more is faster over a slow network, and less fair to other processes.
    pub fn prefetch(mut self, events: usize) -> Self {
        self.prefetch = Some(events);
        self
    }

    /// How many events a [`BatchSubscriber`](crate::jetstream::BatchSubscriber) gets at most at a time; it gets
    /// what is there, and never waits for more. 256 by default.
    pub fn batch(mut self, events: usize) -> Self {
        self.batch = events.max(1);
        self
    }

    /// Handles one event at a time, over all processes and redeliveries, in the stream's order. An
    /// event that fails holds up all behind it until it succeeds or is given up.
    pub fn ordered(mut self) -> Self {
        self.is_ordered = true;
        self
    }

    /// How long JetStream waits for a sign of life before it delivers an event again. 30 s by
    /// default. A handler may take longer: the runtime reports progress while it runs.
    pub fn ack_wait(mut self, wait: Duration) -> Self {
        self.ack_wait = wait;
        self
    }

    /// How many events of this consumer may be unacknowledged, over all processes. 1,000 by
    /// default. Those that wait for a redelivery count.
    pub fn max_ack_pending(mut self, events: u32) -> Self {
        self.max_ack_pending = events.max(1);
        self
    }

    /// How many times an event is delivered before it is given up. No limit by default, 5 with
    /// dead letters. A delivery that a process did not live to see the end of counts.
    pub fn max_deliver(mut self, deliveries: u64) -> Self {
        self.max_deliver = Some(deliveries.max(1));
        self
    }

    /// How long to wait before a failed event is delivered again: the first time, the second, and
    /// so on; the last counts for all that follow. 0.5, 2, 10, 30, 60 s by default.
    pub fn backoff(mut self, delays: impl IntoIterator<Item = Duration>) -> Self {
        self.backoff = delays.into_iter().collect();
        self
    }

    /// Keeps what is given up: payloads that are no event at once, others after
    /// [`max_deliver`](Self::max_deliver) deliveries. They go to `dlq.<stream>.<consumer>`, with
    /// the reason in headers; the stream `<stream>-DLQ` is created for them unless one stores that
    /// subject already.
    pub fn dead_letter(mut self) -> Self {
        self.dead_letter = DeadLetter::Default;
        self
    }

    /// [`dead_letter`](Self::dead_letter) to another subject, behind the bus's prefix; unless a
    /// stream stores it already, the stream `<stream>-DLQ-<consumer>` is created for it.
    pub fn dead_letter_to(mut self, subject: impl Into<String>) -> Self {
        self.dead_letter = DeadLetter::To(subject.into());
        self
    }

    /// How often an event is tried.
    pub(super) fn attempts(&self) -> u64 {
        match (self.max_deliver, &self.dead_letter) {
            (Some(deliveries), _) => deliveries,
            (None, DeadLetter::Off) => u64::MAX,
            (None, _) => MAX_DELIVER,
        }
    }

    /// The wait after the delivery of this number.
    pub(super) fn delay(&self, count: u64) -> Duration {
        let index = usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX);
        let last = self.backoff.len().saturating_sub(1);
        self.backoff
            .get(index.min(last))
            .copied()
            .unwrap_or_default()
    }

    /// How many events this process may hold: those that `at_once` are handled and those behind.
    pub(super) fn limit(&self, at_once: usize) -> usize {
        match self.is_ordered {
            true => 1,
            false => at_once
                .saturating_add(self.prefetch.unwrap_or(at_once))
                .min(self.max_ack_pending as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_delay_counts_for_all_that_follow() {
        let check = |delays: &[u64], count: u64, expected: u64| {
            let delays = delays.iter().copied().map(Duration::from_millis);
            let found = Durable::named("c").backoff(delays).delay(count);
            assert_eq!(found, Duration::from_millis(expected), "{count}");
        };
        check(&[10, 20], 1, 10);
        check(&[10, 20], 2, 20);
        check(&[10, 20], 99, 20);
        check(&[], 1, 0);
    }

    #[test]
    fn events_are_given_up_only_where_somebody_said_so() {
        assert_eq!(Durable::named("c").attempts(), u64::MAX);
        assert_eq!(Durable::named("c").dead_letter().attempts(), 5);
        assert_eq!(Durable::named("c").max_deliver(2).attempts(), 2);
    }
}
