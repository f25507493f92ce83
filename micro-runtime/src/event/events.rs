//! `Events` and `RawEvents`: the messages of one subscription as a stream, decoded or as bytes.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;
use futures_util::Stream;

use crate::bus::{CarrierSubscription, Connections};
use crate::context::{Context, ContextHeaders, Origin};
use crate::error::Error;
use crate::event::decode::{decode, decode_message, receive};
use crate::event::event::Event;
use crate::log_limit::LogLimit;
use crate::observe;
use crate::printable::Printable;
use crate::status::Status;
use crate::wire::BrokerMessage;

/// A [`Stream`] of events as they are published, each at most once; opened by
/// [`Bus::subscribe`](crate::Bus::subscribe).
///
/// - At most 262,144 messages wait to be read. A reader that falls further behind loses the newest ones,
///   which is logged.
/// - A message that cannot be decoded is an `Err` item; it is counted, logged and not the end.
/// - The stream ends when the connection is closed, or after [`drain`](Self::drain). Dropping it ends the
///   subscription at once.
/// - Where NATS revokes the subscription, by a reload of the permissions or at a reconnect, the last item is
///   `PERMISSION_DENIED` ([`Reason::NotPermitted`](crate::Reason::NotPermitted)) with the subject, behind the events
///   that have arrived. Subscribe again once it is allowed.
pub struct Events<E> {
    pub(super) reader: SubscriptionReader,
    pub(super) undecodable: u64,
    pub(super) malformed_headers: u64,
    pub(super) undecodable_log: LogLimit,
    pub(super) event: PhantomData<fn() -> E>,
}

/// A [`Stream`] of the messages published under a subject or pattern, as bytes; opened by
/// [`Bus::subscribe_raw`](crate::Bus::subscribe_raw). Limits and end are those of [`Events`], but that a subscription
/// which NATS revokes ends without an error item: [`error`](Self::error) returns it.
pub struct RawEvents {
    pub(super) reader: SubscriptionReader,
    pub(super) error: Option<Status>,
}

/// A published message as bytes, with its context: whatever was sent to the subject, be it an event, a request or
/// another message. A clone shares the payload.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus = micro_runtime::Bus::in_process();
/// let mut all = bus.subscribe_raw("evt.>").open().await?;
/// bus.publish_raw("evt.audit.login", "ada").header("tenant", "acme").await?;
///
/// let event = all.next().await.ok_or("closed")?;
/// assert_eq!(event.subject(), "evt.audit.login");
/// assert_eq!(event.reply_subject(), None);
/// assert_eq!(event.headers().collect::<Vec<_>>(), [("tenant", "acme")]);
/// assert_eq!(event.context.header("tenant"), Some("acme"));
/// assert_eq!(&event.payload[..], b"ada");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RawEvent {
    /// Subject, metadata and trace. Headers that are no metadata are left out; [`headers`](Self::headers) has them.
    pub context: Context,
    /// Payload as it was published.
    pub payload: Bytes,
    reply_subject: Option<Subject>,
    headers: Option<HeaderMap>,
}

/// A subscription of the bus, with what both kinds of streams need.
pub(super) struct SubscriptionReader {
    pub(super) connections: Connections,
    pub(super) subscription: CarrierSubscription,
    /// Length of the bus's prefix with its dot, in bytes.
    pub(super) prefix_len: usize,
    /// Number of messages of NATS itself, which were left out.
    pub(super) of_nats: u64,
    pub(super) of_nats_log: LogLimit,
}

impl<E: Event> Events<E> {
    /// Returns the next event; `None` once the subscription has ended.
    ///
    /// Cancel safe: no event is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a message that cannot be decoded, and `UNIMPLEMENTED` for a content type
    /// other than protobuf. The next call returns the message behind it. `PERMISSION_DENIED` once NATS has revoked the
    /// subscription, and then `None`.
    pub async fn next(&mut self) -> Option<Result<E, Status>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Returns the next event with its context: subject, metadata and trace. Reading the headers costs
    /// more than [`next`](Self::next), which only checks the content type.
    ///
    /// Cancel safe, as [`next`](Self::next).
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next). Headers that are no metadata are left out, and
    /// [counted](Self::malformed_headers).
    pub async fn next_with_context(&mut self) -> Option<Result<(Context, E), Status>> {
        let message = match poll_fn(|cx| self.reader.poll_message(cx)).await? {
            Ok(message) => message,
            Err(status) => return Some(Err(status)),
        };
        let received = receive(
            E::DESCRIPTOR,
            message,
            self.reader.prefix_len,
            None,
            None,
            None,
            |values| self.malformed_headers += u64::from(values),
        );
        let read = received.and_then(|(ctx, payload)| Ok((ctx, decode(payload)?)));
        Some(read.inspect_err(|status| self.record_undecodable(status)))
    }

    /// Ends the subscription without losing events: those that were published before this returns can
    /// still be read, and then the stream ends.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`](crate::ErrorKind::Connect) or
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if NATS did not confirm the end of the
    /// subscription; events that have arrived can be read all the same.
    pub async fn drain(&mut self) -> Result<(), Error> {
        self.reader.drain().await
    }

    /// Returns the number of messages so far that could not be decoded, and of those that NATS has made itself, as a
    /// status: these are no `Err` items but left out.
    #[must_use]
    pub fn undecodable(&self) -> u64 {
        self.undecodable + self.reader.of_nats
    }

    /// Returns the number of headers so far that are no metadata, as values that are not ASCII, and were left out of
    /// the contexts of [`next_with_context`](Self::next_with_context): of the first 32 of each event.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
    /// use market::{Trade, TradeFilter};
    ///
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut trades = bus.subscribe::<Trade>(TradeFilter::new()).open().await?;
    /// while let Some(trade) = trades.next_with_context().await {
    ///     let (ctx, trade) = trade?;
    ///     println!("{:?}: {}, {} left out", ctx.header("tenant"), trade.price, trades.malformed_headers());
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn malformed_headers(&self) -> u64 {
        self.malformed_headers
    }

    fn poll_event(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<E, Status>>> {
        let message = match ready!(self.reader.poll_message(cx)) {
            Some(Ok(message)) => message,
            Some(Err(status)) => return Poll::Ready(Some(Err(status))),
            None => return Poll::Ready(None),
        };
        let event = decode_message(message.headers.as_ref(), message.payload);
        Poll::Ready(Some(
            event.inspect_err(|status| self.record_undecodable(status)),
        ))
    }

    fn record_undecodable(&mut self, status: &Status) {
        self.undecodable += 1;
        let name = E::DESCRIPTOR.full_name;
        observe::event_failed(name, status.code());
        let status = status.clone();
        self.undecodable_log.write(move |count| {
            tracing::warn!(event = name, %status, count, "an event cannot be read");
        });
    }
}

impl<E: Event> Stream for Events<E> {
    type Item = Result<E, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl RawEvent {
    /// Returns the subject, without the prefix of the bus.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.context.subject().unwrap_or_default()
    }

    /// Returns the subject on which the sender waits for replies, as the sender wrote it: a prefix of the bus is not
    /// taken away. `None` for an event.
    #[must_use]
    pub fn reply_subject(&self) -> Option<&str> {
        self.reply_subject.as_deref()
    }

    /// Returns all headers as they arrived, those of the protocol and of NATS among them: each value with its name,
    /// whose case is the sender's. Values of one name keep their order, names have none.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.headers.iter().flat_map(HeaderMap::iter);
        headers.flat_map(|(name, values)| {
            let values = values.iter();
            values.map(move |value| (name.as_ref(), value.as_str()))
        })
    }
}

impl RawEvents {
    /// Returns the next message; `None` once the subscription has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<RawEvent> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Returns the number of messages so far that NATS has made itself, as a status. They are left out: no publisher
    /// has sent them.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut all = bus.subscribe_raw("evt.>").open().await?;
    /// while let Some(event) = all.next().await {
    ///     println!("{:?}, {} left out", event.context.subject(), all.undecodable());
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn undecodable(&self) -> u64 {
        self.reader.of_nats
    }

    /// Returns why the stream has ended: `PERMISSION_DENIED` with the subject once NATS has revoked the subscription;
    /// `None` while it lasts, and where it has ended otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut all = bus.subscribe_raw("evt.>").open().await?;
    /// while let Some(event) = all.next().await {
    ///     println!("{:?}", event.context.subject());
    /// }
    /// if let Some(status) = all.error() {
    ///     eprintln!("no more events: {status}");
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&Status> {
        self.error.as_ref()
    }

    /// Ends the subscription without losing messages, as [`Events::drain`].
    ///
    /// # Errors
    ///
    /// As [`Events::drain`].
    pub async fn drain(&mut self) -> Result<(), Error> {
        self.reader.drain().await
    }

    fn poll_event(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<RawEvent>> {
        Poll::Ready(match ready!(self.reader.poll_message(cx)) {
            Some(Ok(message)) => Some(self.reader.raw(message)),
            Some(Err(status)) => {
                self.error = Some(status);
                None
            }
            None => None,
        })
    }
}

impl Stream for RawEvents {
    type Item = RawEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl SubscriptionReader {
    /// Polls for the next message. The last item is an error if NATS has revoked the subscription.
    #[inline]
    fn poll_message(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Message, Status>>> {
        loop {
            match ready!(self.subscription.poll_next(cx)) {
                Some(message) => match BrokerMessage::of(&message) {
                    Some(made) => self.record_of_nats(&message.subject, made),
                    None => return Poll::Ready(Some(Ok(message))),
                },
                None => {
                    let refusal = self.subscription.take_refusal();
                    return Poll::Ready(refusal.map(|refusal| Err(refusal.status())));
                }
            }
        }
    }

    /// Counts and logs a message of NATS itself.
    #[cold]
    fn record_of_nats(&mut self, subject: &str, made: BrokerMessage<'_>) {
        self.of_nats += 1;
        let (subject, status) = (subject.to_owned(), made.into_event_failure());
        self.of_nats_log.write(move |count| {
            tracing::warn!(
                subject = %Printable(subject), count, %status,
                "dropped a message that is no event"
            );
        });
    }

    /// Stops the server from sending more, waits until everything that was sent has arrived, and closes
    /// the subscription behind it: `close` before the barrier would lose messages under way.
    async fn drain(&mut self) -> Result<(), Error> {
        self.connections.precede_serving().await;
        self.subscription.stop().await;
        let arrived = self.connections.serving.barrier().await;
        self.subscription.close().await;
        arrived
    }

    /// Returns a message with its context.
    fn raw(&self, message: Message) -> RawEvent {
        let headers = ContextHeaders::read_accepted(message.headers.as_ref());
        let origin = Origin {
            event: None,
            subject: message.subject,
            prefix: self.prefix_len,
        };
        RawEvent {
            context: Context::of_event(origin, headers, None, None, None),
            payload: message.payload,
            reply_subject: message.reply,
            headers: message.headers,
        }
    }
}

impl<E: Event> fmt::Debug for Events<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("event", &E::DESCRIPTOR.full_name)
            .field("undecodable", &self.undecodable)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RawEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawEvents").finish_non_exhaustive()
    }
}
