//! `Completion`: how an execution came to its end.

use crate::context::TimeLimit;
use crate::status::{Reason, Status};

/// How an execution came to its end.
///
/// Calls turn all three into a reply with [`into_result`](Self::into_result). Events treat
/// [`Stopped`](Self::Stopped) apart, with [`into_outcome`](Self::into_outcome).
pub(crate) enum Completion<T> {
    /// The handler returned or panicked.
    Returned(Result<T, Status>),
    /// The deadline of the context passed first.
    DeadlinePassed,
    /// The grace period of the server ended first.
    Stopped,
}

/// Treatment of a handler that outlives its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadlinePolicy {
    /// The handler is dropped.
    Drop,
    /// The handler stays, and its owner may poll it to its end: `#[rpc(detached)]`. The outcome is the
    /// passed deadline all the same: a later result is neither sent nor counted.
    Detach,
}

impl<T> Completion<T> {
    /// Returns whether the handler goes on after its deadline, under the policy that it ran with.
    pub(crate) fn is_detached(&self, at_deadline: DeadlinePolicy) -> bool {
        matches!(self, Self::DeadlinePassed) && at_deadline == DeadlinePolicy::Detach
    }

    /// Returns the outcome as a caller of `name`, a method's full name, receives it; `limit` is what the deadline
    /// follows from.
    ///
    /// # Errors
    ///
    /// The status of the handler, `DEADLINE_EXCEEDED` with [`Reason::Deadline`], or `UNAVAILABLE` with
    /// [`Reason::ShuttingDown`]. The reasons set the runtime's statuses apart from a handler's own
    /// (docs/PROTOCOL.md, FAIL-8).
    pub(crate) fn into_result(self, name: &str, limit: Option<TimeLimit>) -> Result<T, Status> {
        self.into_outcome(name, limit).unwrap_or_else(|| {
            Err(Reason::ShuttingDown.status(format!("the server stopped while {name} ran")))
        })
    }

    /// Returns the outcome of an event's handler; `name` is the event's full name, and `limit` as above. `None` after
    /// [`Stopped`](Self::Stopped): an event that the server did not finish has no outcome, so that it is
    /// not counted as a failure, and a durable one is delivered again.
    ///
    /// # Errors
    ///
    /// The status of the handler, or `DEADLINE_EXCEEDED` with [`Reason::Deadline`].
    pub(crate) fn into_outcome(
        self,
        name: &str,
        limit: Option<TimeLimit>,
    ) -> Option<Result<T, Status>> {
        match self {
            Self::Returned(result) => Some(result),
            Self::DeadlinePassed => Some(Err(match limit {
                Some(limit) => limit.exceeded(format_args!("the handler of {name} did not end")),
                None => {
                    let text = format!("the handler of {name} did not end before the deadline");
                    Reason::Deadline.status(text)
                }
            })),
            Self::Stopped => None,
        }
    }
}
