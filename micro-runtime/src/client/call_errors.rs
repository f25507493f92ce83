//! The statuses with which the client ends a call itself, each with the full name of the method.

use crate::status::{Reason, Status};

/// The reply did not arrive in time. The handler may have run, or still be running.
pub(crate) fn deadline_exceeded(method: &str) -> Status {
    Reason::Deadline.status(format!("{method} did not reply before the deadline"))
}

/// NATS replied that no subscription matches the subject: no handler has run.
pub(crate) fn no_responders(method: &str) -> Status {
    Reason::NoResponders.status(format!("no instance serves {method}"))
}

/// The call or event that this call was made within has ended.
pub(crate) fn parent_ended(method: &str) -> Status {
    Reason::ParentEnded.status(format!("the call that {method} was a part of has ended"))
}
