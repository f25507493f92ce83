//! The stream that all parts share, and the ids of the events in it.

use std::time::Duration;

use micro_runtime::Event;
use micro_runtime::jetstream::EventStream;

use crate::proto::{Tick, Trade};

/// Name of the stream that stores trades and ticks.
pub const STREAM_NAME: &str = "MARKET";

/// Age at which the stream drops an event: one week.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Returns the declaration of the stream. Averages are not stored, since a client that misses one can
/// call `Indicators.MovingAverage`.
pub fn market_stream(replicas: usize) -> EventStream {
    EventStream::named(STREAM_NAME)
        .subject("evt.market.trade.>")
        .subject("evt.market.tick.>")
        .max_age(MAX_AGE)
        .replicas(replicas)
}

/// An event that its venue numbers.
pub trait Quote: Event + Clone {
    /// Prefix of the ids, and table in the database.
    const TABLE: &'static str;

    /// Returns the exchange where it happened.
    fn venue(&self) -> &str;
    /// Returns the traded symbol.
    fn symbol(&self) -> &str;
    /// Returns the venue's own number of the event.
    fn number(&self) -> u64;

    /// Returns an id that is the same for each copy of the event: the message id in the stream, and
    /// the key in the database.
    fn id(&self) -> String {
        format!(
            "{}:{}:{}:{}",
            Self::TABLE,
            self.venue(),
            self.symbol(),
            self.number()
        )
    }
}

impl Quote for Trade {
    const TABLE: &'static str = "trades";

    fn venue(&self) -> &str {
        &self.venue
    }

    fn symbol(&self) -> &str {
        &self.symbol
    }

    fn number(&self) -> u64 {
        self.number
    }
}

impl Quote for Tick {
    const TABLE: &'static str = "ticks";

    fn venue(&self) -> &str {
        &self.venue
    }

    fn symbol(&self) -> &str {
        &self.symbol
    }

    fn number(&self) -> u64 {
        self.number
    }
}
