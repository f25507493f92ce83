//! `Subscribe`: how a stream of events is begun, and when it has begun.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::broadcast::error::RecvError;

use crate::bus::{Bus, CarrierSubscription, Connection, concerns_subject};
use crate::error::{Error, ErrorKind};
use crate::event::event::Event;
use crate::event::events::{Events, RawEvents, SubscriptionReader};
use crate::event::filter::EventFilter as _;
use crate::subject;

/// nats-server says what it refuses up to a millisecond after the barrier.
const REFUSAL: Duration = Duration::from_millis(25);

/// A subscription to be made; [`open`](Self::open) makes it.
#[must_use = "a subscription is made when it is opened"]
pub struct Subscribe<S> {
    bus: Bus,
    /// Without the prefix of the bus, or why there is none.
    subject: Result<String, Error>,
    queue: Option<String>,
    stream: PhantomData<fn() -> S>,
}

impl Bus {
    /// Subscribes to events, as a stream. When this returns, every event that is published from then
    /// on arrives.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Service`] for a filter that cannot be a subject, [`ErrorKind::Permission`] when
    /// NATS refuses the subject, [`ErrorKind::Connect`] or [`ErrorKind::Timeout`] when it does not
    /// answer.
    ///
    /// # Examples
    ///
    /// ```ignore
    /// let mut trades = bus.subscribe::<Trade>(TradeFilter::new().venue("kraken")).open().await?;
    /// while let Some(trade) = trades.next().await {
    ///     println!("{:?}", trade?);
    /// }
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

    /// Subscribes to a subject or a pattern, behind the prefix of the bus, and takes what comes as
    /// bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Service`] for what is no subject; the others as [`subscribe`](Self::subscribe).
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

    /// How many bytes of every subject are this bus's prefix, with its dot.
    pub(crate) fn prefix_len(&self) -> usize {
        self.prefix().map_or(0, |prefix| prefix.len() + 1)
    }
}

impl<S> Subscribe<S> {
    /// Shares the events with all who subscribe under this name: each goes to one of them.
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.queue = Some(name.into());
        self
    }

    async fn inlet(self) -> Result<SubscriptionReader, Error> {
        let subject = self.bus.subject(&self.subject?);
        let connection = Arc::clone(self.bus.connection());
        if let Some(flaw) = self.queue.as_deref().and_then(subject::literal_flaw) {
            let queue = self.queue.unwrap_or_default();
            let message = format!("`{queue}` cannot be the name of a queue group: {flaw}");
            return Err(Error::new(ErrorKind::Service, message));
        }
        let subscription = confirmed(&connection, subject, self.queue.as_deref()).await?;
        Ok(SubscriptionReader {
            prefix: self.bus.prefix_len(),
            connection,
            subscription,
        })
    }
}

impl<E: Event> Subscribe<Events<E>> {
    /// Subscribes. When this returns, every event that is published from then on arrives.
    ///
    /// # Errors
    ///
    /// As [`Bus::subscribe`].
    pub async fn open(self) -> Result<Events<E>, Error> {
        Ok(Events {
            inlet: self.inlet().await?,
            undecodable: 0,
            event: PhantomData,
        })
    }
}

impl Subscribe<RawEvents> {
    /// Subscribes. When this returns, every message that is published from then on arrives.
    ///
    /// # Errors
    ///
    /// As [`Bus::subscribe_raw`].
    pub async fn open(self) -> Result<RawEvents, Error> {
        let inlet = self.inlet().await?;
        Ok(RawEvents { inlet })
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

/// Subscribes, and returns once NATS has seen the subscription and had its time to refuse it.
async fn confirmed(
    connection: &Connection,
    subject: Subject,
    queue: Option<&str>,
) -> Result<CarrierSubscription, Error> {
    let violations = connection.violations();
    let subscription = connection.subscribe(subject.clone(), queue).await?;
    let Some(mut violations) = violations else {
        connection.barrier().await?;
        return Ok(subscription);
    };
    let refused = async {
        loop {
            match violations.recv().await {
                Ok(text) if concerns_subject(&text, &subject) => return text,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    let seen = async {
        connection.barrier().await?;
        tokio::time::sleep(REFUSAL).await;
        Ok(())
    };
    tokio::select! {
        biased;
        violation = refused => {
            let message = format!("NATS does not let this user subscribe to `{subject}`: {violation}");
            Err(Error::new(ErrorKind::Permission, message))
        }
        seen = seen => seen.map(|()| subscription),
    }
}
