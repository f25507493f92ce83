//! `SubjectWriter`: values as tokens of a subject, escaped so that none can break out of its place.

use std::fmt;
use std::fmt::Write as _;

use bytes::{BufMut as _, BytesMut};

use crate::descriptor::EventDescriptor;
use crate::status::Status;
use crate::subject::escape;

/// What one value may take in a subject, escaped.
const LONGEST: usize = 128;

/// Writes one subject. Generated code says what; the first value that cannot be written is the error.
#[derive(Debug)]
#[doc(hidden)]
pub struct SubjectWriter<'a> {
    event: &'static EventDescriptor,
    buffer: &'a mut BytesMut,
    flaw: Option<Status>,
}

impl<'a> SubjectWriter<'a> {
    pub(crate) fn new(event: &'static EventDescriptor, buffer: &'a mut BytesMut) -> Self {
        Self {
            event,
            buffer,
            flaw: None,
        }
    }

    pub(crate) fn finish(self) -> Result<(), Status> {
        match self.flaw {
            None => Ok(()),
            Some(flaw) => {
                self.buffer.clear();
                Err(flaw)
            }
        }
    }

    /// Text of the template.
    pub fn literal(&mut self, text: &str) {
        self.buffer.put_slice(text.as_bytes());
    }

    /// A string; `field` is an index into the descriptor's fields, here and below.
    pub fn text(&mut self, field: usize, value: &str) {
        let start = self.buffer.len();
        escape(value, self.buffer);
        let length = self.buffer.len() - start;
        if length > LONGEST {
            self.buffer.truncate(start);
            self.refuse(
                field,
                format_args!(
                    "takes {length} bytes in the subject, escaped; at most {LONGEST} are allowed"
                ),
            );
        }
    }

    /// A bool: `true` or `false`.
    pub fn boolean(&mut self, _field: usize, value: bool) {
        self.literal(if value { "true" } else { "false" });
    }

    /// An integer, in decimal.
    pub fn integer(&mut self, _field: usize, value: impl fmt::Display) {
        // A buffer that grows takes everything.
        let _ = write!(self.buffer, "{value}");
    }

    /// An enum, by the name of its number.
    pub fn number(&mut self, field: usize, value: i32) {
        let values = self.event.fields.get(field).map_or(&[][..], |f| f.values);
        match values.iter().find(|(number, _)| *number == value) {
            Some((_, name)) => self.text(field, name),
            None => self.refuse(
                field,
                format_args!("is {value}, for which its enum has no name"),
            ),
        }
    }

    fn refuse(&mut self, field: usize, flaw: fmt::Arguments<'_>) {
        let event = self.event;
        let name = event.fields.get(field).map_or("?", |field| field.name);
        self.flaw.get_or_insert_with(|| {
            Status::invalid_argument(format!("field `{name}` of {} {flaw}", event.full_name))
        });
    }
}
