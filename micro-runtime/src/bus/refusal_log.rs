//! `Concern` and `RefusalLogs`: what a refusal means, and log lines of those that nothing else reports, bounded in
//! number whatever a peer makes this process publish.
//!
//! async-nats writes a line of its own for each of its events, at info level: a program that logs at this level needs
//! the filter `async_nats=warn`.

use std::sync::{Arc, Mutex};

use crate::log_limit::LogLimit;
use crate::printable::Printable;
use crate::sync::lock;

/// Meaning of a refusal to an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    /// Nothing to any observer.
    None,
    /// The observer reports it to its user.
    Reported,
    /// A reply of this server was lost.
    Reply,
    /// An acknowledgment of this durable consumer was lost.
    Acknowledgment,
    /// A durable consumer cannot request events.
    Pull,
    /// An event of core NATS was lost.
    Event,
    /// A subscription that is not of this library, or an error of another kind.
    Other,
}

/// Logs of the refusals of one connection, by concern.
#[derive(Default)]
pub(super) struct RefusalLogs([Log; Concern::ALL.len()]);

/// Log of one kind.
#[derive(Default)]
struct Log {
    limit: LogLimit,
    /// Text of the last refusal.
    text: Mutex<Arc<str>>,
}

impl Concern {
    /// Every concern, in the order of their numbers.
    const ALL: [Self; 7] = [
        Self::None,
        Self::Reported,
        Self::Reply,
        Self::Acknowledgment,
        Self::Pull,
        Self::Event,
        Self::Other,
    ];

    /// Returns the beginning of the line.
    fn what(self) -> &'static str {
        match self {
            Self::None | Self::Reported | Self::Other => "",
            Self::Reply => "replies of this server are lost: ",
            Self::Acknowledgment => {
                "acknowledgments of durable events are lost, so that they are delivered again: "
            }
            Self::Pull => "a durable consumer gets no events: ",
            Self::Event => "events are lost: ",
        }
    }
}

impl RefusalLogs {
    /// Logs a refusal, or counts it for the next line.
    pub(super) fn write(&self, concern: Concern, text: String) {
        *lock(&self.0[concern as usize].text) = text.into();
        self.write_again(concern);
    }

    /// Logs one more refusal of the kind that was written last for this concern, or counts it for the next line.
    pub(super) fn write_again(&self, concern: Concern) {
        let log = &self.0[concern as usize];
        let text = Arc::clone(&lock(&log.text));
        log.limit.write(move |count| {
            tracing::error!(count, "{}{}", concern.what(), Printable(&*text));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_concern_has_its_own_place() {
        for (place, concern) in Concern::ALL.into_iter().enumerate() {
            assert_eq!(concern as usize, place);
        }
    }
}
