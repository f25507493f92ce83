//! `SubjectWriter`: values as tokens of a subject, escaped so that none can break out of its place.

use std::fmt;
use std::fmt::Write as _;

use bytes::{BufMut as _, BytesMut};

use crate::event::EventDescriptor;
use crate::status::Status;

/// What one value may take in a subject, escaped.
const LONGEST: usize = 128;

/// What stands for the empty text, since a token cannot be empty.
const EMPTY: &str = "%";

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

/// Writes a text as one token.
fn escape(text: &str, buffer: &mut BytesMut) {
    if text.is_empty() {
        return buffer.put_slice(EMPTY.as_bytes());
    }
    buffer.reserve(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            buffer.put_u8(byte);
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |nibble: u8| DIGITS[usize::from(nibble)];
            buffer.put_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// Reads one token back; `None` if it is not how a text is written.
pub(super) fn unescape(token: &str) -> Option<String> {
    if token == EMPTY {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(digits[0])? * 16 + digit(digits[1])?;
        bytes.push(u8::try_from(value).ok()?);
        rest = tail;
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.is_empty()).then_some(text)
}
