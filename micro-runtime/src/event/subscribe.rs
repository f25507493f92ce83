//! `Subscribe`: opens a stream of events, and returns only when NATS has confirmed the subscription.

use std::fmt;
use std::marker::PhantomData;

use crate::bus::Bus;
use crate::error::{Error, ErrorKind};
use crate::event::event::Event;
use crate::event::events::{Events, RawEvents, SubscriptionReader};
use crate::event::filter::EventFilter as _;
use crate::log_limit::LogLimit;
use crate::subject;

/// A subscription with its options, made by [`Bus::subscribe`] and [`Bus::subscribe_raw`];
/// [`open`](Self::open) subscribes. `S` is the stream that it opens, [`Events`] or [`RawEvents`].
#[must_use = "a subscription is made when it is opened"]
pub struct Subscribe<S> {
    bus: Bus,
    /// Pattern without the prefix of the bus, or why it cannot be subscribed to.
    subject: Result<String, Error>,
    queue: Option<String>,
    stream: PhantomData<fn() -> S>,
}

impl Bus {
    /// Subscribes to the events that `filter` matches, as a stream. Once [`open`](Subscribe::open) has
    /// returned, every event that is published from then on arrives.
    ///
    /// To handle events on a server, with workers, timeouts and counts, use
    /// [`Server::subscribe`](crate::Server::subscribe) instead.
    ///
    /// # Errors
    ///
    /// Opening it fails with [`ErrorKind::Service`] for a filter that gives no subject,
    /// [`ErrorKind::Permission`] if this user may not subscribe to the subject, or `max_subscriptions` is reached, and
    /// [`ErrorKind::Connect`] or [`ErrorKind::Timeout`] if NATS does not confirm the subscription.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
    /// use market::{Trade, TradeFilter};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bus = micro_runtime::Bus::in_process();
    /// let filter = TradeFilter::new().venue("kraken");
    /// let mut trades = bus.subscribe::<Trade>(filter).open().await?;
    ///
    /// let trade = Trade { venue: "kraken".into(), symbol: "BTC-USD".into(), price: 1.5 };
    /// bus.publish(&trade).await?;
    /// assert_eq!(trades.next().await.ok_or("closed")??, trade);
    /// # Ok(()) }
    /// ```
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a filter is written where it is used"
    )]
    pub fn subscribe<E: Event>(&self, filter: E::Filter) -> Subscribe<Events<E>> {
        let subject = filter.subject().map_err(|status| {
            let name = E::DESCRIPTOR.full_name;
            let message = format!("a filter for {name} cannot be a subject");
            Error::new(ErrorKind::Service, message).with_source(status)
        });
        self.subscribe_to(subject)
    }

    /// Subscribes to a subject or a pattern (`*` for one token, `>` for all that follow) and yields the
    /// messages as bytes. The prefix of the bus, if it has one, is put before the subject.
    ///
    /// # Errors
    ///
    /// Opening it fails with [`ErrorKind::Service`] for an invalid subject; otherwise as
    /// [`subscribe`](Self::subscribe).
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let bus = micro_runtime::Bus::in_process();
    /// let mut all = bus.subscribe_raw("evt.>").open().await?;
    /// bus.publish_raw("evt.audit.login", "ada").await?;
    /// let event = all.next().await.ok_or("closed")?;
    /// assert_eq!(event.context.subject(), Some("evt.audit.login"));
    /// assert_eq!(&event.payload[..], b"ada");
    /// # Ok(()) }
    /// ```
    pub fn subscribe_raw(&self, subject: impl AsRef<str>) -> Subscribe<RawEvents> {
        let subject = subject.as_ref();
        self.subscribe_to(match subject::raw_flaw(subject, true) {
            None => Ok(subject.to_owned()),
            Some(flaw) => Err(Error::new(
                ErrorKind::Service,
                format!(
                    "`{}` cannot be subscribed to: {flaw}",
                    subject.escape_debug()
                ),
            )),
        })
    }

    fn subscribe_to<S>(&self, subject: Result<String, Error>) -> Subscribe<S> {
        Subscribe {
            bus: self.clone(),
            subject,
            queue: None,
            stream: PhantomData,
        }
    }

    /// Returns the length of this bus's prefix with its dot, in bytes; 0 without a prefix. Every subject on
    /// the wire begins with it, and contexts show subjects without it.
    pub(crate) fn prefix_len(&self) -> usize {
        self.prefix().map_or(0, |prefix| prefix.len() + 1)
    }
}

impl<S> Subscribe<S> {
    /// Joins a queue group: each event goes to one of its members, as NATS chooses. Without a group every
    /// subscriber gets every event. The name is one subject token: no dot, white space or wildcard.
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.queue = Some(name.into());
        self
    }

    async fn open_reader(self) -> Result<SubscriptionReader, Error> {
        let subject = self.bus.subject(&self.subject?);
        if let Some(flaw) = self.queue.as_deref().and_then(subject::literal_flaw) {
            let queue = self.queue.unwrap_or_default();
            let message = format!("`{queue}` cannot be the name of a queue group: {flaw}");
            return Err(Error::new(ErrorKind::Service, message));
        }
        let serving = self.bus.serving();
        let subscription = serving.subscribe_confirmed(subject, self.queue.as_deref());
        let subscription = subscription.await?;
        Ok(SubscriptionReader {
            prefix_len: self.bus.prefix_len(),
            connections: self.bus.connections().clone(),
            subscription,
            of_nats: 0,
            of_nats_log: LogLimit::default(),
        })
    }
}

impl<E: Event> Subscribe<Events<E>> {
    /// Subscribes. Once this has returned, every event that is published from then on arrives. Over NATS
    /// it takes about a round trip, in which a missing permission shows.
    ///
    /// # Errors
    ///
    /// As [`Bus::subscribe`].
    pub async fn open(self) -> Result<Events<E>, Error> {
        Ok(Events {
            reader: self.open_reader().await?,
            undecodable: 0,
            malformed_headers: 0,
            undecodable_log: LogLimit::default(),
            event: PhantomData,
        })
    }
}

impl Subscribe<RawEvents> {
    /// Subscribes. Once this has returned, every message that is published from then on arrives.
    ///
    /// # Errors
    ///
    /// As [`Bus::subscribe_raw`].
    pub async fn open(self) -> Result<RawEvents, Error> {
        let reader = self.open_reader().await?;
        Ok(RawEvents {
            reader,
            error: None,
        })
    }
}

impl<S> fmt::Debug for Subscribe<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("subject", &self.subject)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
