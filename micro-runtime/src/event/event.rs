//! `Event`: a message type with a subject of its own, which its fields fill. Does no I/O.

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
///
/// A placeholder is one whole token of the subject and names a field of type string, bool, enum or
/// integer. So subscribers can leave each field open in a filter ([`EventFilter`]), and the server sends
/// only matching events. Values are escaped (docs/PROTOCOL.md, EVENT-4): no value can add a token or a
/// wildcard to the subject.
///
/// # Examples
///
/// ```
/// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
/// use market::Trade;
/// use micro_runtime::Event;
///
/// let trade = Trade { venue: "kraken".into(), symbol: "BTC/USD".into(), price: 1.5 };
/// assert_eq!(trade.subject()?, "evt.market.trade.kraken.BTC%2FUSD");
/// # Ok::<(), micro_runtime::Status>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "this message has no subject",
    note = "give it one in the .proto: `option (micro.v1.event) = {{ subject: \"evt.…\" }};`"
)]
pub trait Event: prost::Message + Default + 'static {
    /// Name, subject template and fields of the event, as the .proto declares them.
    const DESCRIPTOR: &'static EventDescriptor;

    /// Filter by the fields in the subject, as in `TradeFilter::new().venue("kraken")`.
    type Filter: EventFilter;

    /// Writes the subject, with one call per literal and placeholder of the template.
    #[doc(hidden)]
    fn write_subject(&self, subject: &mut SubjectWriter<'_>);

    /// Returns the subject of this event, without the prefix of a bus.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if a field takes more than 128 bytes in the subject, escaped, or holds a number
    /// for which its enum has no name.
    fn subject(&self) -> Result<String, Status> {
        let mut buffer = BytesMut::new();
        write(self, None, &mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }
}

/// Appends the subject of an event to `buffer`, with the prefix of a bus.
///
/// # Errors
///
/// As [`Event::subject`]; the buffer is empty then.
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
