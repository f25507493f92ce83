//! `EventFilter`: which events of a kind a subscriber wants, by the fields in their subjects.

use bytes::BytesMut;

use crate::descriptor::EventDescriptor;
use crate::event::subject_writer::SubjectWriter;
use crate::status::Status;

/// Picks events of one kind. micro-build writes one per event, as in
/// `TradeFilter::new().venue("kraken")`.
pub trait EventFilter: Default + Send + Sync + 'static {
    /// What the filter holds.
    #[doc(hidden)]
    fn fixed(&self) -> &Fixed;

    /// The subject to subscribe to, with a wildcard for each field that is open, and without the
    /// prefix of a bus.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` as [`Event::subject`](crate::Event::subject).
    fn subject(&self) -> Result<String, Status> {
        self.fixed().pattern()
    }
}

/// The fields that a filter has fixed.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct Fixed {
    event: &'static EventDescriptor,
    tokens: Vec<Option<String>>,
    flaw: Option<Status>,
}

impl Fixed {
    /// Every field is open.
    #[must_use]
    pub fn new(event: &'static EventDescriptor) -> Self {
        Self {
            event,
            tokens: vec![None; event.fields.len()],
            flaw: None,
        }
    }

    /// Fixes a string.
    pub fn text(&mut self, field: usize, value: &str) {
        self.fix(field, |subject| subject.text(field, value));
    }

    /// Fixes a bool.
    pub fn boolean(&mut self, field: usize, value: bool) {
        self.fix(field, |subject| subject.boolean(field, value));
    }

    /// Fixes an integer.
    pub fn integer(&mut self, field: usize, value: impl std::fmt::Display) {
        self.fix(field, |subject| subject.integer(field, value));
    }

    /// Fixes an enum.
    pub fn number(&mut self, field: usize, value: i32) {
        self.fix(field, |subject| subject.number(field, value));
    }

    fn fix(&mut self, field: usize, write: impl FnOnce(&mut SubjectWriter<'_>)) {
        let mut buffer = BytesMut::new();
        let mut subject = SubjectWriter::new(self.event, &mut buffer);
        write(&mut subject);
        match subject.finish() {
            Ok(()) => {
                let token = String::from_utf8_lossy(&buffer).into_owned();
                self.tokens[field] = Some(token);
            }
            Err(flaw) => {
                self.flaw.get_or_insert(flaw);
            }
        }
    }

    pub(super) fn pattern(&self) -> Result<String, Status> {
        match &self.flaw {
            Some(flaw) => Err(flaw.clone()),
            None => Ok(self
                .event
                .pattern_with(|field| self.tokens[field].as_deref())),
        }
    }
}
