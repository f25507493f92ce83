//! `EventFilter`: the subject that a subscriber uses to receive only events with certain fields.

use bytes::BytesMut;

use crate::descriptor::EventDescriptor;
use crate::event::subject_writer::{SubjectWriter, too_long};
use crate::status::Status;
use crate::subject::MAX_SUBJECT_LEN;

/// Filter for events of one kind by the fields in their subjects.
///
/// micro-build generates one per event, with a method per placeholder of the template, as in
/// `TradeFilter::new().venue("kraken")`. A field that is not set is open: it becomes the wildcard `*` in
/// the subject. NATS does the filtering, so events that do not match cost the subscriber nothing.
///
/// # Examples
///
/// ```
/// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
/// use market::TradeFilter;
/// use micro_runtime::event::EventFilter;
///
/// let filter = TradeFilter::new().venue("kraken");
/// assert_eq!(filter.subject()?, "evt.market.trade.kraken.*");
/// # Ok::<(), micro_runtime::Status>(())
/// ```
pub trait EventFilter: Default + Send + Sync + 'static {
    /// The fields that are set.
    #[doc(hidden)]
    fn fixed(&self) -> &Fixed;

    /// Returns the pattern to subscribe to: the template with `*` for each open field, without the prefix
    /// of a bus.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for the first value that was set and has no place in a subject, as
    /// [`Event::subject`](crate::Event::subject).
    fn subject(&self) -> Result<String, Status> {
        self.fixed().pattern()
    }
}

/// Values of the fields that a filter has set; generated filters wrap one.
///
/// A value that cannot be written is not an error at once, so that generated methods can be chained: the
/// first such error is returned by [`EventFilter::subject`].
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct Fixed {
    event: &'static EventDescriptor,
    /// Escaped token of each field, in the order of the descriptor; `None` for an open one.
    tokens: Vec<Option<String>>,
    error: Option<Status>,
}

impl Fixed {
    /// Creates a filter that leaves every field open.
    #[must_use]
    pub fn new(event: &'static EventDescriptor) -> Self {
        Self {
            event,
            tokens: vec![None; event.fields.len()],
            error: None,
        }
    }

    /// Sets a string field; `field` is an index into the descriptor's fields, here and below.
    pub fn text(&mut self, field: usize, value: &str) {
        self.set(field, |subject| subject.text(field, value));
    }

    /// Sets a bool field.
    pub fn boolean(&mut self, field: usize, value: bool) {
        self.set(field, |subject| subject.boolean(field, value));
    }

    /// Sets an integer field.
    pub fn integer(&mut self, field: usize, value: impl std::fmt::Display) {
        self.set(field, |subject| subject.integer(field, value));
    }

    /// Sets an enum field by its number.
    pub fn number(&mut self, field: usize, value: i32) {
        self.set(field, |subject| subject.number(field, value));
    }

    fn set(&mut self, field: usize, write: impl FnOnce(&mut SubjectWriter<'_>)) {
        let mut buffer = BytesMut::new();
        let mut subject = SubjectWriter::new(self.event, &mut buffer);
        write(&mut subject);
        match subject.finish() {
            Ok(()) => {
                let token = String::from_utf8_lossy(&buffer).into_owned();
                self.tokens[field] = Some(token);
            }
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
    }

    pub(super) fn pattern(&self) -> Result<String, Status> {
        match &self.error {
            Some(error) => Err(error.clone()),
            None => {
                let tokens = |field: usize| self.tokens[field].as_deref();
                let pattern = self.event.pattern_with(tokens);
                match pattern.len() {
                    ..=MAX_SUBJECT_LEN => Ok(pattern),
                    length => Err(too_long(self.event, length)),
                }
            }
        }
    }
}
