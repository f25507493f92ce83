//! `TimeLimit`: the deadline of a call and what it follows from, for the failure of a call whose deadline passes.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::status::{Reason, Status};

/// Deadline of a call. It is computed for each call and formatted only when it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeLimit {
    pub(crate) deadline: Instant,
    /// Time from the beginning of the call to the deadline.
    pub(crate) timeout: Duration,
    pub(crate) source: TimeoutSource,
}

/// Setting that a timeout follows from, the most specific one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeoutSource {
    /// At the caller: `.timeout(…)` of the call.
    Call,
    /// At the caller: the options of its client.
    Client,
    /// At the caller: the method option of the .proto.
    Method,
    /// At the caller: the constant of the protocol.
    Protocol,
    /// At the caller: the deadline of the call or event that the call is within.
    Parent,
    /// At the server: `Micro-Timeout` of the request.
    Caller,
    /// At the server: its own limit.
    Server,
    /// At the server: `Durable::handler_timeout` of a durable consumer.
    #[cfg_attr(
        not(feature = "jetstream"),
        expect(dead_code, reason = "of durable consumers alone")
    )]
    Consumer,
}

impl TimeLimit {
    /// Returns the failure of a call whose deadline has passed; `what` states what has not happened, as in "a.B.C had
    /// no reply".
    #[cold]
    pub(crate) fn exceeded(&self, what: impl fmt::Display) -> Status {
        Reason::Deadline.status(format!("{what} within {self}"))
    }
}

/// Writes the timeout and its source, as in "5 s, the default timeout".
impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            TimeoutSource::Call => "the timeout of the call",
            TimeoutSource::Client => "the timeout of the client",
            TimeoutSource::Method => "the timeout of the method in its .proto",
            TimeoutSource::Protocol => "the default timeout",
            TimeoutSource::Parent => "the time left of the call that it is within",
            TimeoutSource::Caller => "the timeout of its caller",
            TimeoutSource::Server => "the timeout of its server",
            TimeoutSource::Consumer => "the handler timeout of its consumer",
        };
        write!(f, "{}, {source}", Words(self.timeout))
    }
}

/// A duration for people: `5 s`, `1.5 s`, `250 ms`.
pub(crate) struct Words(pub(crate) Duration);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded up, so that what is left of a second is not written as zero.
        let milliseconds = self.0.as_nanos().div_ceil(1_000_000);
        match (milliseconds / 1000, milliseconds % 1000) {
            (0, milliseconds) => write!(f, "{milliseconds} ms"),
            (seconds, 0) => write!(f, "{seconds} s"),
            (seconds, rest) => {
                let fraction = format!("{rest:03}");
                write!(f, "{seconds}.{} s", fraction.trim_end_matches('0'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_for_people() {
        let check = |nanos: u64, expected: &str| {
            assert_eq!(Words(Duration::from_nanos(nanos)).to_string(), expected);
        };
        check(0, "0 ms");
        check(1, "1 ms");
        check(250_000_000, "250 ms");
        check(999_999_999, "1 s");
        check(5_000_000_000, "5 s");
        check(1_500_000_000, "1.5 s");
        check(61_040_000_000, "61.04 s");
    }

    #[test]
    fn the_failure_states_the_timeout_and_its_source() {
        let limit = TimeLimit {
            deadline: Instant::now(),
            timeout: Duration::from_millis(200),
            source: TimeoutSource::Caller,
        };
        let status = limit.exceeded("the handler of a.B.C did not end");
        assert_eq!(
            status.to_string(),
            "DEADLINE_EXCEEDED: the handler of a.B.C did not end within 200 ms, the timeout of its caller"
        );
        assert_eq!(status.reason(), Some(Reason::Deadline));
    }
}
