//! `Subscription`: the options of a server's core subscription: queue group, filter, concurrency, order.

use std::fmt;
use std::hash::{BuildHasher as _, Hash};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::event::decode::decode_message;
use crate::event::dispatcher::EventOrder;
use crate::event::event::Event;
use crate::event::filter::EventFilter;
use crate::event::handler::EventHandler;
use crate::event::source::{BoundSource, CoreSource, EventSource, SourceKind};
use crate::event::workers::WorkerSettings;

/// Default of [`Subscription::max_waiting`], in events: the capacity that async-nats gives a subscription.
const DEFAULT_MAX_WAITING: usize = 64 * 1024;

/// A subscription to events as they are published: each at most once, and only while the server runs.
///
/// By default one event is handled at a time, in the order of arrival; see
/// [`max_concurrent`](Self::max_concurrent) and [`ordered_by`](Self::ordered_by). Events that arrive
/// meanwhile are queued; above [`max_waiting`](Self::max_waiting) of them, further ones are dropped,
/// counted and logged. A slow handler holds up no other subscription.
///
/// # Examples
///
/// ```
/// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
/// use std::time::Duration;
///
/// use market::{Trade, TradeFilter};
/// use micro_runtime::{Bus, Server, Subscriber, Subscription};
///
/// fn server(bus: &Bus, recorder: impl Subscriber<Trade>, display: impl Subscriber<Trade>) -> Server {
///     Server::new(bus)
///         .subscribe::<Trade>(recorder, Subscription::queue("recorder"))
///         .subscribe::<Trade>(
///             display,
///             Subscription::broadcast()
///                 .filter(TradeFilter::new().venue("kraken"))
///                 .max_concurrent(8)
///                 .ordered_by(|trade: &Trade| trade.symbol.clone())
///                 .timeout(Duration::from_secs(5)),
///         )
/// }
/// ```
pub struct Subscription<E: Event> {
    queue: Option<String>,
    filter: E::Filter,
    key: Option<KeyHash<E>>,
    settings: WorkerSettings,
    event: PhantomData<fn() -> E>,
}

/// Hash of an event's key, which selects its worker.
type KeyHash<E> = Arc<dyn Fn(&E) -> u64 + Send + Sync>;

impl<E: Event> Subscription<E> {
    /// Creates a subscription without a queue group: every server gets every event.
    #[must_use]
    pub fn broadcast() -> Self {
        Self {
            queue: None,
            filter: E::Filter::default(),
            key: None,
            settings: WorkerSettings {
                workers: 1,
                max_waiting: DEFAULT_MAX_WAITING,
                timeout: None,
            },
            event: PhantomData,
        }
    }

    /// Creates a subscription in a queue group: each event goes to one of the servers that use this name.
    ///
    /// The name is one subject token (no dot, white space or wildcard); the server does not start with
    /// another one.
    ///
    /// A group with one member gets the events of a publisher in order, with one exception: while NATS refuses many
    /// messages of this connection it is asked about the group, and two events that were published within microseconds
    /// of each other may change places then.
    #[must_use]
    pub fn queue(name: impl Into<String>) -> Self {
        Self {
            queue: Some(name.into()),
            ..Self::broadcast()
        }
    }

    /// Receives only the events that the filter matches; NATS sends no others. Every event by default.
    #[must_use]
    pub fn filter(mut self, filter: E::Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Sets how many events are handled at a time, in no order. 1 by default, which keeps the order of
    /// arrival; 0 counts as 1.
    ///
    /// [`ordered_by`](Self::ordered_by) keeps the order among events with the same key.
    #[must_use]
    pub fn max_concurrent(mut self, handlers: usize) -> Self {
        self.settings.workers = handlers.max(1);
        self
    }

    /// Keeps the order of arrival among events with the same key while
    /// [`max_concurrent`](Self::max_concurrent) handles several at a time.
    ///
    /// A hash of the key selects the worker, so that different keys may share one, and one that is slow
    /// holds up the others of its worker. Each event is decoded a second time, for its key.
    #[must_use]
    pub fn ordered_by<K: Hash>(mut self, key: impl Fn(&E) -> K + Send + Sync + 'static) -> Self {
        let hasher = std::hash::RandomState::new();
        self.key = Some(Arc::new(move |event| hasher.hash_one(key(event))));
        self
    }

    /// Sets how many events may be queued for a handler, over all workers; further ones are dropped.
    /// 65,536 by default. Those of all subscriptions of a server may take half of its
    /// [memory budget](crate::Server::memory_budget), 128 MiB by default, and 64 KiB of each subscription besides.
    ///
    /// NATS messages that this process has not read yet do not count: up to 262,144 of them wait in the
    /// connection besides.
    #[must_use]
    pub fn max_waiting(mut self, events: usize) -> Self {
        self.settings.max_waiting = events;
        self
    }

    /// Sets how long a handler may take with one event, from when it is taken out of the queue. The
    /// handler is dropped then, and the event counts as failed. Unlimited by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }
}

impl<E: Event> EventSource<E> for Subscription<E> {
    fn bind(self, handler: EventHandler) -> BoundSource {
        let order = match self.key {
            None => EventOrder::Arrival,
            Some(key) => EventOrder::Key(Arc::new(move |message| {
                // Bytes that cannot be decoded go to any worker, which reports them.
                let (headers, payload) = (message.headers.as_ref(), message.payload.clone());
                decode_message(headers, payload).map_or(0, |event| key(&event))
            })),
        };
        BoundSource(SourceKind::Core(CoreSource {
            handler,
            subject: self.filter.subject(),
            queue: self.queue,
            order,
            settings: self.settings,
        }))
    }
}

impl<E: Event> fmt::Debug for Subscription<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("event", &E::DESCRIPTOR.full_name)
            .field("queue", &self.queue)
            .field("settings", &self.settings)
            .field("is_ordered_by_key", &self.key.is_some())
            .finish_non_exhaustive()
    }
}
