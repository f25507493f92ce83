//! `Durable`: the options of a durable consumer: position, concurrency, retries, dead letters.

use std::time::Duration;

use tokio::time::Instant;

use crate::context::{TimeLimit, TimeoutSource};
use crate::error::{Error, ErrorKind};
use crate::event::EventFilter;
use crate::jetstream::on_difference::{DifferenceRules, OnDifference};
use crate::jetstream::start_from::StartFrom;
use crate::status::Status;

/// Default of [`Durable::max_attempts`] for consumers with dead letters, in attempts.
const DEFAULT_MAX_ATTEMPTS: u64 = 5;
/// Default of [`Durable::handler_timeout`].
const DEFAULT_HANDLER_TIMEOUT: Duration = Duration::from_secs(30);
/// Default of [`Durable::backoff`].
const DEFAULT_BACKOFF: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];
/// Default of [`Durable::ack_wait`], that of nats-server.
const DEFAULT_ACK_WAIT: Duration = Duration::from_secs(30);
/// Default of [`Durable::max_concurrent`] for events that are handled one by one, in handlers.
pub(super) const DEFAULT_MAX_CONCURRENT: usize = 16;
/// Default of [`Durable::batch`], in events.
const DEFAULT_BATCH: usize = 256;

/// A durable subscription: a named consumer of a stream, whose position JetStream stores.
///
/// All processes that use one name share the events. An event is acknowledged after its handler has
/// succeeded; one whose handler failed, or whose process ended, is delivered again. So nothing is lost, and
/// a handler must tolerate an event that it has handled before: its
/// [`Delivery`](crate::jetstream::Delivery) has a sequence that names it for good.
///
/// # Failures
///
/// | failure | what follows |
/// |---|---|
/// | the handler returns an error, panics, or takes longer than [`handler_timeout`](Self::handler_timeout) | another attempt after [`backoff`](Self::backoff); a dead letter after [`max_attempts`](Self::max_attempts) |
/// | it returns `INVALID_ARGUMENT`, `OUT_OF_RANGE`, `UNIMPLEMENTED`, or [`Context::reject`](crate::Context::reject) | a dead letter at once |
/// | the bytes are no such event | a dead letter at once |
/// | its process ends | another attempt after [`ack_wait`](Self::ack_wait), alone: an event that ends each process that handles it becomes a dead letter after as many attempts, and takes no other with it |
///
/// By default an event has 5 attempts of 30 s, and becomes a [dead letter](Self::dead_letter) then.
///
/// The consumer is created by the first server that starts with it. Later ones compare its settings, and
/// do not start if filter, `ack_wait` or `max_ack_pending` differ, unless [`on_difference`](Self::on_difference) is
/// set. The other options are those of the process. While servers run, nothing is compared: an operator may edit the
/// consumer.
///
/// A consumer that is deleted while a server runs is created again, behind the last event up to which all were settled
/// as far as the server knows, a second ago at most: none is left out, and some may be delivered again. In a stream
/// that was made anew it begins with the first event.
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
///     .handler_timeout(Duration::from_secs(10))
///     .max_attempts(4);
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until they are given to `Server::subscribe`"]
pub struct Durable {
    pub(super) name: String,
    pub(super) stream: Option<String>,
    pub(super) filter: Option<Result<String, Status>>,
    pub(super) start: StartFrom,
    pub(super) max_concurrent: Option<usize>,
    pub(super) prefetch: Option<usize>,
    pub(super) batch: usize,
    pub(super) is_ordered: bool,
    pub(super) ack_wait: Duration,
    pub(super) max_ack_pending: Option<u32>,
    pub(super) max_attempts: Option<u64>,
    pub(super) handler_timeout: Duration,
    pub(super) backoff: Vec<Duration>,
    pub(super) dead_letter: DeadLetterPolicy,
    pub(super) rules: DifferenceRules,
}

/// Destination of events that are given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum DeadLetterPolicy {
    /// None. A failed event is tried again without end, unless `max_attempts` is set; what is given up is logged
    /// and dropped.
    Off,
    /// The subject of docs/PROTOCOL.md, DEAD-1.
    #[default]
    Default,
    /// Another subject, without the prefix of the bus.
    To(String),
}

impl Durable {
    /// Creates the options of the consumer with this name, which must not contain a dot, white space, `*`
    /// or `>`.
    ///
    /// The consumer stays at the server when every process has stopped. Remove it with
    /// `nats consumer rm`.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            stream: None,
            filter: None,
            start: StartFrom::First,
            max_concurrent: None,
            prefetch: None,
            batch: DEFAULT_BATCH,
            is_ordered: false,
            ack_wait: DEFAULT_ACK_WAIT,
            max_ack_pending: None,
            max_attempts: None,
            handler_timeout: DEFAULT_HANDLER_TIMEOUT,
            backoff: DEFAULT_BACKOFF.into(),
            dead_letter: DeadLetterPolicy::Default,
            rules: DifferenceRules::default(),
        }
    }

    /// Sets the stream by the name that it was declared with. By default the stream that stores the events'
    /// subjects is looked up; several that do are an error.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = Some(name.into());
        self
    }

    /// Receives only the events that the filter matches, as in `TradeFilter::new().venue("kraken")`. Every
    /// event of the type by default.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "as in the other functions that take a filter"
    )]
    pub fn filter(mut self, filter: impl EventFilter) -> Self {
        self.filter = Some(filter.subject());
        self
    }

    /// Sets the first event, for when the consumer is created; later it has no effect. [`StartFrom::First`] by default:
    /// events that were published before the first start are not skipped.
    pub fn start_from(mut self, start: StartFrom) -> Self {
        self.start = start;
        self
    }

    /// Sets how many handlers run at a time in this process. 16 by default, 1 for batches; 0 counts as 1.
    pub fn max_concurrent(mut self, handlers: usize) -> Self {
        self.max_concurrent = Some(handlers.max(1));
        self
    }

    /// Sets how many events wait in this process besides those that are being handled. By default as many as
    /// are handled at a time. More is faster over a slow network; less shares events more evenly among
    /// processes.
    pub fn prefetch(mut self, events: usize) -> Self {
        self.prefetch = Some(events);
        self
    }

    /// Sets the maximum number of events in a batch of a
    /// [`BatchSubscriber`](crate::jetstream::BatchSubscriber). 256 by default. A batch has the events that
    /// are there, and never waits for more.
    pub fn batch(mut self, events: usize) -> Self {
        self.batch = events.max(1);
        self
    }

    /// Handles one event at a time, over all processes, in the stream's order.
    ///
    /// An event that fails holds up all behind it until it succeeds or is given up. This overrides
    /// `max_concurrent`, `prefetch`, `batch` and `max_ack_pending`.
    pub fn ordered(mut self) -> Self {
        self.is_ordered = true;
        self
    }

    /// Sets how long JetStream waits for an acknowledgment or a report of progress before it delivers an
    /// event again. 30 s by default.
    ///
    /// A handler may take longer, since the runtime reports progress while it runs, up to its
    /// [`handler_timeout`](Self::handler_timeout). So this is the time until another process gets the events of one
    /// that was killed. Zero is an error at the start.
    pub fn ack_wait(mut self, wait: Duration) -> Self {
        self.ack_wait = wait;
        self
    }

    /// Sets how long a handler may take for one attempt, and a batch for all of its events. 30 s by default.
    ///
    /// Then it is dropped, which counts as `DEADLINE_EXCEEDED`, and the event is tried again after its
    /// [`backoff`](Self::backoff). A handler with much to do calls [`Context::progress`](crate::Context::progress),
    /// which begins the time anew. `Duration::MAX` is no limit; zero is an error at the start.
    ///
    /// A handler that blocks its thread cannot be dropped. Its event goes to another process after
    /// [`ack_wait`](Self::ack_wait) all the same.
    pub fn handler_timeout(mut self, timeout: Duration) -> Self {
        self.handler_timeout = timeout;
        self
    }

    /// Sets how many events of this consumer may be unacknowledged, over all processes. No limit by default.
    ///
    /// Each process requests no more than it has room for, whatever this is. Events that wait for their next attempt
    /// count: with a limit, this many failing events stop the consumer until a backoff has passed.
    pub fn max_ack_pending(mut self, events: u32) -> Self {
        self.max_ack_pending = Some(events.max(1));
        self
    }

    /// Sets how many attempts an event has before it is given up: how often handlers begin with it. 5 by default with
    /// dead letters, and no limit without. An attempt whose process ended before its handler did counts as well; a
    /// delivery that no handler has begun with does not.
    ///
    /// Attempts are recorded in the stream `<stream>-ATTEMPTS`, which is created unless there is one. Only events that
    /// are delivered more than once are recorded.
    pub fn max_attempts(mut self, attempts: u64) -> Self {
        self.max_attempts = Some(attempts.max(1));
        self
    }

    /// Sets the delays before a failed event is delivered again: after the first attempt, the second, and
    /// so on; the last holds for all that follow. 0.5, 2, 10, 30, 60 s by default. Without any, it is
    /// delivered again at once.
    pub fn backoff(mut self, delays: impl IntoIterator<Item = Duration>) -> Self {
        self.backoff = delays.into_iter().collect();
        self
    }

    /// Stores events that are given up as dead letters, which is the default: those that cannot be decoded and those
    /// that their handler rejects at once, others after [`max_attempts`](Self::max_attempts).
    ///
    /// A letter has payload and headers of the event, and the reason in further headers (docs/PROTOCOL.md,
    /// DEAD-2). It goes to the subject `dlq.<stream>.<consumer>`; the stream `<stream>-DLQ` is created for it
    /// unless one stores that subject already. The event is not acknowledged before its letter is stored.
    pub fn dead_letter(mut self) -> Self {
        self.dead_letter = DeadLetterPolicy::Default;
        self
    }

    /// Stores dead letters as [`dead_letter`](Self::dead_letter) does, under a subject of your own, which
    /// gets the bus's prefix. The stream `<stream>-DLQ-<consumer>` is created for it unless one stores
    /// that subject already.
    pub fn dead_letter_to(mut self, subject: impl Into<String>) -> Self {
        self.dead_letter = DeadLetterPolicy::To(subject.into());
        self
    }

    /// Stores no dead letters: events that are given up are logged and dropped. Without
    /// [`max_attempts`](Self::max_attempts) an event is tried again without end then, unless it cannot be decoded or
    /// its handler rejects it.
    pub fn without_dead_letters(mut self) -> Self {
        self.dead_letter = DeadLetterPolicy::Off;
        self
    }

    /// Sets the effect on a consumer that exists with other settings. [`OnDifference::Fail`] by default.
    ///
    /// A new filter holds for events that are delivered for the first time.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::jetstream::{Durable, OnDifference};
    ///
    /// let recorder = Durable::named("recorder")
    ///     .max_ack_pending(5_000)
    ///     .on_difference(OnDifference::Update);
    /// # let _ = recorder;
    /// ```
    pub fn on_difference(mut self, effect: OnDifference) -> Self {
        self.rules.on_difference = effect;
        self
    }

    /// Sets the version of these settings, from 1; none by default. With [`OnDifference::Update`] the highest one wins,
    /// see there.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::jetstream::{Durable, OnDifference};
    ///
    /// let recorder = Durable::named("recorder").on_difference(OnDifference::Update).version(2);
    /// # let _ = recorder;
    /// ```
    pub fn version(mut self, version: u64) -> Self {
        self.rules.version = Some(version);
        self
    }

    /// Checks the options that cannot be what is meant.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`] for a duration of zero, which JetStream would replace by a default of its own.
    pub(super) fn check(&self) -> Result<(), Error> {
        let durations = [
            ("ack_wait", self.ack_wait),
            ("handler_timeout", self.handler_timeout),
        ];
        match durations.iter().find(|(_, duration)| duration.is_zero()) {
            None => Ok(()),
            Some((option, _)) => Err(Error::new(
                ErrorKind::JetStream,
                format!(
                    "`{option}` of consumer `{}` is zero; leave it out for the default of 30 s",
                    self.name
                ),
            )),
        }
    }

    /// Returns how many attempts an event has before it is given up.
    pub(super) fn attempt_limit(&self) -> u64 {
        match (self.max_attempts, &self.dead_letter) {
            (Some(attempts), _) => attempts,
            (None, DeadLetterPolicy::Off) => u64::MAX,
            (None, _) => DEFAULT_MAX_ATTEMPTS,
        }
    }

    /// Returns the time limit of a handler that begins now; `None` if there is none.
    pub(super) fn limit_from(&self, now: Instant) -> Option<TimeLimit> {
        let deadline = now.checked_add(self.handler_timeout)?;
        Some(TimeLimit {
            deadline,
            timeout: self.handler_timeout,
            source: TimeoutSource::Consumer,
        })
    }

    /// Returns the delay after the attempt with this number, from 1.
    pub(super) fn delay_after(&self, count: u64) -> Duration {
        let index = usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX);
        let last = self.backoff.len().saturating_sub(1);
        self.backoff
            .get(index.min(last))
            .copied()
            .unwrap_or_default()
    }

    /// Returns how many events this process may hold: the `concurrent` ones that are handled at a time, and
    /// those prefetched.
    pub(super) fn max_in_flight(&self, concurrent: usize) -> usize {
        match self.is_ordered {
            true => 1,
            false => concurrent
                .saturating_add(self.prefetch.unwrap_or(concurrent))
                .min(
                    self.max_ack_pending
                        .map_or(usize::MAX, |events| events as usize),
                ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_delay_holds_for_all_further_deliveries() {
        let check = |delays: &[u64], count: u64, expected: u64| {
            let delays = delays.iter().copied().map(Duration::from_millis);
            let found = Durable::named("c").backoff(delays).delay_after(count);
            assert_eq!(found, Duration::from_millis(expected), "{count}");
        };
        check(&[10, 20], 1, 10);
        check(&[10, 20], 2, 20);
        check(&[10, 20], 99, 20);
        check(&[], 1, 0);
    }

    #[test]
    fn attempts_are_limited_unless_there_are_no_dead_letters() {
        let check = |durable: Durable, expected: u64| {
            assert_eq!(durable.attempt_limit(), expected, "{durable:?}");
        };
        check(Durable::named("c"), 5);
        check(Durable::named("c").max_attempts(2), 2);
        check(Durable::named("c").max_attempts(0), 1);
        check(Durable::named("c").without_dead_letters(), u64::MAX);
        check(Durable::named("c").without_dead_letters().dead_letter(), 5);
        check(
            Durable::named("c").without_dead_letters().max_attempts(3),
            3,
        );
    }
}
