//! `Event`: a message with a subject of its own; what its template says, and back. Pure.

use bytes::BytesMut;

use crate::descriptor::EventDescriptor;
use crate::event::filter::EventFilter;
use crate::event::subject_writer::SubjectWriter;
use crate::status::Status;

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
