//! Subjects that nats-server refuses to every client: their errors mark a place among its other errors. Pure.

use async_nats::Subject;

/// Token of targets.
const TARGET: &str = "refused";
/// Token of the reply subject of probes.
const PROBE: &str = "probe";

/// Returns a reply subject that is reserved for services of other accounts. It names the inbox and `purpose`, so that
/// its refusal can be recognized.
pub(crate) fn reply(inbox: &str, purpose: &str) -> Subject {
    Subject::from(format!("_R_.{inbox}.{purpose}"))
}

/// Returns the reply subject of the messages that ask NATS whether their subject is allowed.
pub(crate) fn probe_reply(inbox: &str) -> Subject {
    reply(inbox, PROBE)
}

/// Returns a malformed pattern under an inbox.
pub(crate) fn pattern(inbox: &str, marker: &str) -> Subject {
    Subject::from(format!("{inbox}.>.{marker}"))
}

/// Returns a subject under an inbox that no reply has, for a message that is refused for its reply subject.
pub(crate) fn target(inbox: &str, marker: &str) -> Subject {
    Subject::from(format!("{inbox}.{TARGET}.{marker}"))
}

/// Returns whether `subject` is of [`reply`] or [`target`] for this inbox.
pub(crate) fn is_marker(inbox: &str, subject: &str) -> bool {
    let own = subject.strip_prefix("_R_.").unwrap_or(subject);
    let behind = own
        .strip_prefix(inbox)
        .and_then(|rest| rest.strip_prefix('.'));
    behind.is_some_and(|rest| own.len() < subject.len() || rest.starts_with(TARGET))
}
