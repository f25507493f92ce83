//! `Event`: a message with a subject of its own; what its template says, and back. Pure.

mod filter;
#[cfg(test)]
mod tests;
mod writer;

use bytes::BytesMut;

use crate::status::Status;

pub use filter::{EventFilter, Fixed};
pub use writer::SubjectWriter;

/// A message that is published under a subject made of its fields.
///
/// micro-build implements it for messages with the option `(micro.v1.event)`:
///
/// ```proto
/// message Trade {
///   option (micro.v1.event) = { subject: "evt.market.trade.{venue}.{symbol}" };
///   string venue = 1;
///   string symbol = 2;
///   double price = 3;
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "this message has no subject",
    note = "give it one in the .proto: `option (micro.v1.event) = {{ subject: \"evt.…\" }};`"
)]
pub trait Event: prost::Message + Default + 'static {
    /// What the .proto says about the event.
    const DESCRIPTOR: &'static EventDescriptor;

    /// Picks events by the fields in their subjects, as in `TradeFilter::new().venue("kraken")`.
    type Filter: EventFilter;

    /// Writes the subject, one call per literal and placeholder of the template.
    #[doc(hidden)]
    fn write_subject(&self, subject: &mut SubjectWriter<'_>);

    /// The subject of this event, without the prefix of a bus.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` when a field takes more than 128 bytes in the subject, or holds a number
    /// for which its enum has no name.
    fn subject(&self) -> Result<String, Status> {
        let mut buffer = BytesMut::new();
        write(self, None, &mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }
}

/// What the .proto says about an event. Generated code holds one per event.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EventDescriptor {
    /// Package and name of the message, as in `market.v1.Trade`.
    pub full_name: &'static str,
    /// The subject, as in `evt.market.trade.{venue}.{symbol}`.
    pub template: &'static str,
    /// What the placeholders name, each once, in the order of the template.
    pub fields: &'static [EventField],
}

/// A field that a subject names.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EventField {
    /// As spelt in the .proto.
    pub name: &'static str,
    /// The names of the numbers, if the field is an enum.
    pub values: &'static [(i32, &'static str)],
}

impl EventDescriptor {
    /// Describes an event.
    #[must_use]
    pub const fn new(
        full_name: &'static str,
        template: &'static str,
        fields: &'static [EventField],
    ) -> Self {
        Self {
            full_name,
            template,
            fields,
        }
    }

    /// Reads the texts of the fields back from a subject, without a bus's prefix, in the order of
    /// [`fields`](Self::fields); `None` if it is not a subject of this event.
    ///
    /// For routing and display: what a program goes by is in the payload.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{EventDescriptor, EventField};
    ///
    /// const TRADE: EventDescriptor =
    ///     EventDescriptor::new("market.v1.Trade", "evt.trade.{venue}", &[EventField::new("venue")]);
    /// assert_eq!(TRADE.parse("evt.trade.a%2Eb"), Some(vec!["a.b".to_owned()]));
    /// assert_eq!(TRADE.parse("evt.tick.kraken"), None);
    /// ```
    #[must_use]
    pub fn parse(&self, subject: &str) -> Option<Vec<String>> {
        let mut texts: Vec<Option<String>> = vec![None; self.fields.len()];
        let mut tokens = subject.split('.');
        for part in self.template.split('.') {
            let token = tokens.next()?;
            let Some(index) = self.placeholder(part) else {
                if part != token {
                    return None;
                }
                continue;
            };
            let text = writer::unescape(token)?;
            match &mut texts[index] {
                Some(before) if *before != text => return None,
                slot => *slot = Some(text),
            }
        }
        if tokens.next().is_some() {
            return None;
        }
        texts.into_iter().collect()
    }

    /// What every subject of this event matches, without a bus's prefix.
    #[must_use]
    pub fn pattern(&self) -> String {
        self.pattern_with(|_| None)
    }

    /// The template with a text or a wildcard for each placeholder.
    fn pattern_with<'a>(&self, fixed: impl Fn(usize) -> Option<&'a str>) -> String {
        let tokens = self.template.split('.').map(|part| {
            self.placeholder(part)
                .map_or(part, |index| fixed(index).unwrap_or("*"))
        });
        tokens.collect::<Vec<_>>().join(".")
    }

    /// The index of the field that a token of the template stands for.
    fn placeholder(&self, token: &str) -> Option<usize> {
        let name = token.strip_prefix('{')?.strip_suffix('}')?;
        self.fields.iter().position(|field| field.name == name)
    }
}

impl EventField {
    /// A field whose value is written as text.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, values: &[] }
    }

    /// A field of an enum, with the names of its numbers.
    #[must_use]
    pub const fn of_enum(name: &'static str, values: &'static [(i32, &'static str)]) -> Self {
        Self { name, values }
    }
}

/// Writes the subject of an event behind what is in `buffer`, with the prefix of a bus.
pub(crate) fn write<E: Event>(
    event: &E,
    prefix: Option<&str>,
    buffer: &mut BytesMut,
) -> Result<(), Status> {
    let mut subject = SubjectWriter::new(E::DESCRIPTOR, buffer);
    if let Some(prefix) = prefix {
        subject.literal(prefix);
        subject.literal(".");
    }
    event.write_subject(&mut subject);
    subject.finish()
}
