//! What all parts agree on: the stream, and how an event is named for good.

use std::time::Duration;

use micro_runtime::{Event, EventStream};

use crate::proto::{Tick, Trade};

/// The stream that stores trades and ticks.
pub const STREAM: &str = "MARKET";

const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Declares the stream; averages are not in it, since whoever misses one can ask again.
pub fn stream(replicas: usize) -> EventStream {
    EventStream::named(STREAM)
        .subject("evt.market.trade.>")
        .subject("evt.market.tick.>")
        .max_age(WEEK)
        .replicas(replicas)
}

/// An event that a venue numbers.
pub trait Quote: Event + Clone {
    /// What its ids begin with, and its table in the database.
    const TABLE: &'static str;

    /// Where it happened.
    fn venue(&self) -> &str;
    /// To what.
    fn symbol(&self) -> &str;
    /// The venue's own number.
    fn number(&self) -> u64;

    /// Its name for good: the message id in the stream, and the key in the database.
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
