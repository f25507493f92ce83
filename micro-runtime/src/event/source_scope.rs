//! `SourceScope`: the parts of a running server that its sources of events use.

#[cfg(feature = "jetstream")]
use std::collections::BTreeSet;
use std::sync::Arc;
#[cfg(feature = "jetstream")]
use std::sync::Mutex;

use async_nats::Subject;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::Bus;
use crate::context::StopSignal;
use crate::error::{Error, ErrorKind};
use crate::memory_budget::MemoryBudget;
use crate::subject;
#[cfg(feature = "jetstream")]
use crate::sync::lock;

/// The parts of a running server that a source uses.
#[derive(Clone)]
pub(crate) struct SourceScope {
    pub(crate) bus: Bus,
    /// Tasks that the server waits for when it stops, until its grace period is over.
    pub(crate) tasks: TaskTracker,
    /// Canceled once all external sources have started, and takes effect once: none takes events before. What one of
    /// them receives could cost the connection on which the next one starts.
    pub(crate) begun: CancellationToken,
    /// Sent when the server begins to stop: an external source takes no further events and finishes those that it
    /// has.
    pub(crate) stop: StopSignal,
    /// Canceled at the end of the grace period: handlers are dropped.
    pub(crate) end: CancellationToken,
    /// Subjects of this server's methods with the prefix of the bus; patterns for those of instances.
    pub(crate) call_subjects: Vec<Subject>,
    /// Stream and name of the durable consumers of this server.
    #[cfg(feature = "jetstream")]
    pub(crate) durables: Arc<Mutex<BTreeSet<(String, String)>>>,
    /// The memory of events that wait for their handlers, a part of the server's budget.
    pub(crate) memory: Arc<MemoryBudget>,
}

impl SourceScope {
    /// Makes the scope of a server inside the process.
    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        Self {
            bus: Bus::in_process(),
            tasks: TaskTracker::new(),
            begun: CancellationToken::new(),
            stop: StopSignal::default(),
            end: CancellationToken::new(),
            call_subjects: Vec::new(),
            #[cfg(feature = "jetstream")]
            durables: Arc::default(),
            memory: MemoryBudget::new(usize::MAX),
        }
    }

    /// Notes a durable consumer of this server.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Service`] if a handler of this server has it already: each would get some of the events.
    #[cfg(feature = "jetstream")]
    pub(crate) fn claim_durable(&self, stream: &str, name: &str) -> Result<(), Error> {
        let mut durables = lock(&self.durables);
        match durables.insert((stream.to_owned(), name.to_owned())) {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Service,
                format!(
                    "two handlers of this server consume stream `{stream}` as `{name}`, and each would get some of the events; give each a name of its own"
                ),
            )),
        }
    }

    /// Checks that a subject of `event`, with the prefix of the bus, matches no call to this server. A
    /// handler of events would receive the requests too, and JetStream would store them and send each caller
    /// an acknowledgment that it takes for the reply.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Service`] with both subjects.
    pub(crate) fn check_subject(&self, event: &str, subject: &str) -> Result<(), Error> {
        let is_covered = |call: &&Subject| subject::overlap(subject, call);
        match self.call_subjects.iter().find(is_covered) {
            None => Ok(()),
            Some(call) => Err(Error::new(
                ErrorKind::Service,
                format!(
                    "the subject `{subject}` of {event} covers the call subject `{call}` of this server; begin the subjects of events with `evt.`"
                ),
            )),
        }
    }
}
