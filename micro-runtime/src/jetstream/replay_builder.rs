//! `ReplayBuilder`: the options of a replay, and its start.

use std::fmt;

use crate::bus::Bus;
use crate::event::{Event, EventFilter as _};
use crate::jetstream::api::Api;
use crate::jetstream::event_stream::stream_name;
use crate::jetstream::replay::Replay;
use crate::jetstream::replay_source::ReplaySource;
use crate::jetstream::start_from::StartFrom;
use crate::jetstream::stream_lookup;
use crate::status::Status;

/// A replay with its options, made by [`Bus::replay`]; [`open`](Self::open) starts to read.
#[must_use = "a replay begins once it is opened"]
pub struct ReplayBuilder<E: Event> {
    bus: Bus,
    stream: Option<String>,
    filter: E::Filter,
    start: StartFrom,
    is_following: bool,
}

impl Bus {
    /// Reads stored events again, in the order of the stream: by default all of them, from the first to the
    /// last that is stored when the replay is opened. Nothing is acknowledged, and durable consumers of the
    /// stream are not affected.
    ///
    /// # Errors
    ///
    /// Opening it fails with `UNIMPLEMENTED` on a bus inside one process, `NOT_FOUND` if no stream stores
    /// the events, `FAILED_PRECONDITION` if several do, and `UNAVAILABLE` if JetStream does not reply.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
    /// use std::time::{Duration, SystemTime};
    ///
    /// use market::{Trade, TradeFilter};
    /// use micro_runtime::jetstream::StartFrom;
    /// use micro_runtime::{Bus, Status};
    ///
    /// async fn print_last_day(bus: &Bus) -> Result<(), Status> {
    ///     let yesterday = SystemTime::now() - Duration::from_secs(24 * 3600);
    ///     let mut trades = bus
    ///         .replay::<Trade>()
    ///         .filter(TradeFilter::new().venue("kraken"))
    ///         .start_from(StartFrom::Time(yesterday))
    ///         .open()
    ///         .await?;
    ///     while let Some(trade) = trades.next().await.transpose()? {
    ///         println!("{}: {}", trade.delivery.sequence(), trade.price);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn replay<E: Event>(&self) -> ReplayBuilder<E> {
        ReplayBuilder {
            bus: self.clone(),
            stream: None,
            filter: E::Filter::default(),
            start: StartFrom::First,
            is_following: false,
        }
    }
}

impl<E: Event> ReplayBuilder<E> {
    /// Sets the first event. [`StartFrom::First`] by default.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
    /// use micro_runtime::jetstream::StartFrom;
    ///
    /// # async fn run(bus: micro_runtime::Bus, last: u64) -> Result<(), micro_runtime::Status> {
    /// // Behind the last event that a program has stored.
    /// let start = StartFrom::Sequence(last + 1);
    /// let mut trades = bus.replay::<market::Trade>().start_from(start).open().await?;
    /// # Ok(()) }
    /// ```
    pub fn start_from(mut self, start: StartFrom) -> Self {
        self.start = start;
        self
    }

    /// Reads only the events that the filter matches. Every event of the type by default.
    pub fn filter(mut self, filter: E::Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Sets the stream by the name that it was declared with. By default the stream that stores the events'
    /// subjects is looked up; several that do are an error.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = Some(name.into());
        self
    }

    /// Continues with the events that are stored from now on, and never ends.
    ///
    /// A stream that is deleted is waited for, with an error item each 30 s. One that is declared again is read from
    /// its first event on, behind an error item: sequences that a program has stored mean other events from there on.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
    /// use micro_runtime::Reason;
    ///
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), micro_runtime::Status> {
    /// let mut trades = bus.replay::<market::Trade>().follow().open().await?;
    /// while let Some(trade) = trades.next().await {
    ///     match trade {
    ///         Ok(trade) => println!("{}", trade.price),
    ///         Err(status) if status.reason() == Some(Reason::EventsLost) => eprintln!("{status}"),
    ///         Err(status) => return Err(status),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn follow(mut self) -> Self {
        self.is_following = true;
        self
    }

    /// Starts to read. The end of a replay that does not [`follow`](Self::follow) is determined here, and its first
    /// events are requested.
    ///
    /// # Errors
    ///
    /// As [`Bus::replay`].
    pub async fn open(self) -> Result<Replay<E>, Status> {
        let connection = self.bus.consuming();
        connection.jetstream_or_status()?;
        let api = Api::new(connection);
        let filter = self.bus.subject(&self.filter.subject()?).into_string();
        let name = match &self.stream {
            Some(name) => stream_name(&self.bus, name),
            None => stream_lookup::stream_to_replay(&api, &filter).await?,
        };
        let source = ReplaySource::new(self.bus, name, filter, !self.is_following);
        let state = source.replayed_stream().await?;
        let start = match self.start {
            // As a number it means the same when the consumer is created anew.
            StartFrom::New => StartFrom::Sequence(state.ends.last + 1),
            start => start,
        };
        let consumer = source.open(start).await?;
        Ok(Replay::new(source, start, state, consumer))
    }
}

impl<E: Event> fmt::Debug for ReplayBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBuilder")
            .field("event", &E::DESCRIPTOR.full_name)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}
