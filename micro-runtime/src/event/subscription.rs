//! `Subscription`: who gets an event, how many are handled at a time, and in which order.

use std::fmt;
use std::hash::{BuildHasher as _, Hash};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::event::event::Event;
use crate::event::filter::EventFilter;
use crate::event::handler::EventHandler;
use crate::event::source::{BoundSource, CoreSource, EventSource, SourceKind};
use crate::event::workers::{Order, WorkerSettings};

/// async-nats's own bound for one subscription.
const MAX_WAITING: usize = 64 * 1024;

/// A subscription to events as they are published: at most once, and only while it runs.
///
/// One event is handled at a time, in the order in which they arrive, unless
/// [`concurrent`](Self::max_concurrent) says otherwise. What arrives meanwhile waits; above
/// [`max_waiting`](Self::max_waiting) events are dropped, counted and logged. A slow handler holds up
/// no other subscription.
///
/// # Examples
///
/// ```ignore
/// Server::new(&bus)
///     .subscribe::<Trade>(recorder, Subscription::queue("recorder"))
///     .subscribe::<Trade>(
///         display,
///         Subscription::broadcast()
///             .filter(TradeFilter::new().venue("kraken"))
///             .max_concurrent(8)
///             .ordered_by(|trade: &Trade| trade.symbol.clone()),
///     )
/// ```
pub struct Subscription<E: Event> {
    queue: Option<String>,
    filter: E::Filter,
    key: Option<Key<E>>,
    settings: WorkerSettings,
    event: PhantomData<fn() -> E>,
}

type Key<E> = Arc<dyn Fn(&E) -> u64 + Send + Sync>;

impl<E: Event> Subscription<E> {
    /// Every server that subscribes gets every event.
    #[must_use]
    pub fn broadcast() -> Self {
        Self {
            queue: None,
            filter: E::Filter::default(),
            key: None,
            settings: WorkerSettings {
                workers: 1,
                max_waiting: MAX_WAITING,
                timeout: None,
            },
            event: PhantomData,
        }
    }

    /// Each event goes to one of the servers that subscribe under this name.
    #[must_use]
    pub fn queue(name: impl Into<String>) -> Self {
        Self {
            queue: Some(name.into()),
            ..Self::broadcast()
        }
    }

    /// Takes only events with these fields; NATS sends no others.
    #[must_use]
    pub fn filter(mut self, filter: E::Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Handles up to this many events at a time, in no order. 1 by default; 0 counts as 1.
    #[must_use]
    pub fn max_concurrent(mut self, handlers: usize) -> Self {
        self.settings.workers = handlers.max(1);
        self
    }

    /// Keeps the order among events with the same key, where
    /// [`concurrent`](Self::max_concurrent) handles several at a time. Each event is decoded once more
    /// for its key.
    #[must_use]
    pub fn ordered_by<K: Hash>(mut self, key: impl Fn(&E) -> K + Send + Sync + 'static) -> Self {
        let hasher = std::hash::RandomState::new();
        self.key = Some(Arc::new(move |event| hasher.hash_one(key(event))));
        self
    }

    /// How many events may wait for a handler; what comes above is dropped. 65,536 by default. As
    /// many more can wait where they arrive while this process is busy.
    #[must_use]
    pub fn max_waiting(mut self, events: usize) -> Self {
        self.settings.max_waiting = events;
        self
    }

    /// How long a handler may take with one event; it is dropped then, and the event counts as
    /// failed. Unlimited by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }
}

impl<E: Event> EventSource<E> for Subscription<E> {
    fn bind(self, handler: EventHandler) -> BoundSource {
        let order = match self.key {
            None => Order::Arrival,
            Some(key) => Order::Key(Arc::new(move |payload| {
                // What cannot be decoded is the worker's to tell.
                E::decode(payload.clone()).map_or(0, |event| key(&event))
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
