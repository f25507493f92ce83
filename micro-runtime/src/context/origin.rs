//! `Origin`: the kind and the subject of an event.

use async_nats::Subject;

use crate::descriptor::EventDescriptor;

/// Kind and subject of an event that a handler gets.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// `None` for raw bytes, whose kind is not known.
    pub(crate) event: Option<&'static EventDescriptor>,
    /// Subject of the message, with the prefix of the bus.
    pub(crate) subject: Subject,
    /// Length of the prefix of the bus with its dot, in bytes; 0 if there is none.
    pub(crate) prefix: usize,
}

impl Origin {
    /// Returns the subject without the prefix of the bus.
    pub(super) fn unprefixed_subject(&self) -> Option<&str> {
        self.subject.get(self.prefix..)
    }
}
