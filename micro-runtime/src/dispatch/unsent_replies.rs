//! `UnsentReplies`: reply subjects of the last messages that NATS did not let this server send.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::status::{Reason, Status};
use crate::sync::lock;

/// Maximum number of subjects that are kept; the oldest goes first.
const MAX_SUBJECTS: usize = 1024;

/// Reply subjects of the last messages that NATS refused.
///
/// The client of a stream whose frames are refused gets no RESET, since that is refused, too. It learns of the end once
/// it asks for the stream, as it does of a restart of the server. Only the server can tell the two apart.
#[derive(Debug, Default)]
pub(crate) struct UnsentReplies(Mutex<VecDeque<String>>);

impl UnsentReplies {
    /// Keeps the subject of a message that NATS has refused.
    pub(super) fn note(&self, subject: &str) {
        let mut subjects = lock(&self.0);
        // Many messages of one stream are refused in a row.
        if subjects.back().is_some_and(|last| last == subject) {
            return;
        }
        if subjects.len() == MAX_SUBJECTS {
            subjects.pop_front();
        }
        subjects.push_back(subject.to_owned());
    }

    /// Keeps the subject of a stream's frames that has ended with `failure`, if that is a refusal.
    pub(super) fn note_end(&self, subject: &str, failure: Option<&Status>) {
        if failure.and_then(Status::reason) == Some(Reason::NotPermitted) {
            self.note(subject);
        }
    }

    /// Returns the failure for a client that asks under `reply` for a stream that has ended.
    pub(super) fn failure_of_stream(&self, reply: &str) -> Status {
        let is_refused = lock(&self.0).iter().any(|subject| subject == reply);
        Reason::PeerGone.status(match is_refused {
            true => {
                "the server has ended the stream, since NATS refused a message of it: for streams and large messages \
                 the service needs `publish: \"_INBOX.>\"` in its permissions, more than `allow_responses: true` or \
                 a small `max`; its log has the subject"
            }
            false => "the server knows no stream of this name",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_refused_subjects_are_told_from_others() {
        let unsent = UnsentReplies::default();
        unsent.note_end("ended", None);
        unsent.note_end("reset", Some(&Reason::Dropped.status("")));
        unsent.note("0");
        unsent.note("0");
        let refused = Reason::NotPermitted.status("");
        for number in 1..=MAX_SUBJECTS {
            unsent.note_end(&number.to_string(), Some(&refused));
        }
        let is_refused = |subject: &str| {
            let failure = unsent.failure_of_stream(subject);
            failure.message().contains("refused")
        };
        assert!(is_refused("1") && is_refused(&MAX_SUBJECTS.to_string()));
        for subject in ["ended", "reset", "0", "another"] {
            assert!(!is_refused(subject), "{subject}");
        }
    }
}
