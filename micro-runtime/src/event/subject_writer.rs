//! `SubjectWriter`: writes an event's fields as tokens of its subject, escaped.

use std::fmt;
use std::fmt::Write as _;

use bytes::{BufMut as _, BytesMut};

use crate::descriptor::EventDescriptor;
use crate::status::Status;
use crate::subject::{MAX_SUBJECT_LEN, escape};

/// Maximum length of one value in a subject, escaped, in bytes (docs/PROTOCOL.md, EVENT-4).
const MAX_VALUE_LEN: usize = 128;

/// Writes one subject into a shared buffer, as generated code calls it: literals of the template and
/// values of fields in turns.
///
/// Each value is escaped so that it is one whole token: no value can add a token, a wildcard or white
/// space, and so none can reach a subject that its template does not cover. A value that cannot be written
/// does not stop the writer, which keeps generated code free of `?`; [`finish`](Self::finish) returns
/// the first error.
#[derive(Debug)]
#[doc(hidden)]
pub struct SubjectWriter<'a> {
    event: &'static EventDescriptor,
    buffer: &'a mut BytesMut,
    /// Length of the buffer in front of the subject.
    start: usize,
    error: Option<Status>,
}

impl<'a> SubjectWriter<'a> {
    /// Begins a subject behind the present contents of `buffer`.
    pub(crate) fn new(event: &'static EventDescriptor, buffer: &'a mut BytesMut) -> Self {
        Self {
            event,
            start: buffer.len(),
            buffer,
            error: None,
        }
    }

    /// Ends the subject.
    ///
    /// # Errors
    ///
    /// The first value that could not be written, or a subject that is too long. The buffer is cleared then, so that
    /// half a subject does not stay in it.
    pub(crate) fn finish(self) -> Result<(), Status> {
        let length = self.buffer.len() - self.start;
        let is_too_long = length > MAX_SUBJECT_LEN;
        match self
            .error
            .or_else(|| is_too_long.then(|| too_long(self.event, length)))
        {
            None => Ok(()),
            Some(error) => {
                self.buffer.clear();
                Err(error)
            }
        }
    }

    /// Appends text of the template, or a bus's prefix, as it is.
    pub fn literal(&mut self, text: &str) {
        self.buffer.put_slice(text.as_bytes());
    }

    /// Appends a string, escaped; `field` is an index into the descriptor's fields, here and below.
    pub fn text(&mut self, field: usize, value: &str) {
        let start = self.buffer.len();
        escape(value, self.buffer);
        let length = self.buffer.len() - start;
        if length > MAX_VALUE_LEN {
            self.buffer.truncate(start);
            self.fail(
                field,
                format_args!(
                    "takes {length} bytes in the subject, escaped; at most {MAX_VALUE_LEN} are allowed"
                ),
            );
        }
    }

    /// Appends a bool as `true` or `false`.
    pub fn boolean(&mut self, _field: usize, value: bool) {
        self.literal(if value { "true" } else { "false" });
    }

    /// Appends an integer in decimal.
    pub fn integer(&mut self, _field: usize, value: impl fmt::Display) {
        // Infallible: `BytesMut` grows as needed.
        let _ = write!(self.buffer, "{value}");
    }

    /// Appends an enum value by its name in the .proto, escaped.
    pub fn number(&mut self, field: usize, value: i32) {
        let values = self.event.fields.get(field).map_or(&[][..], |f| f.values);
        match values.iter().find(|(number, _)| *number == value) {
            Some((_, name)) => self.text(field, name),
            None => self.fail(
                field,
                format_args!("is {value}, for which its enum has no name"),
            ),
        }
    }

    fn fail(&mut self, field: usize, cause: fmt::Arguments<'_>) {
        let event = self.event;
        let name = event.fields.get(field).map_or("?", |field| field.name);
        self.error.get_or_insert_with(|| {
            Status::invalid_argument(format!("field `{name}` of {} {cause}", event.full_name))
        });
    }
}

/// Returns the error for a subject, or the pattern of a filter, of so many bytes.
#[cold]
pub(super) fn too_long(event: &EventDescriptor, length: usize) -> Status {
    Status::invalid_argument(format!(
        "the subject of {} takes {length} bytes; NATS takes at most {MAX_SUBJECT_LEN}",
        event.full_name
    ))
}
