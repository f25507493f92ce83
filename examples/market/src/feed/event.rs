//! Conversion of a venue's messages into events.

use crate::exchange::protocol::ExchangeMessage;
use crate::proto::{Tick, Trade};
use crate::stream::Quote;

/// An event that a feed publishes for a message of a venue.
pub trait FeedEvent: Quote {
    /// Channel of the venue that carries these events.
    const CHANNEL: &'static str;

    /// Converts a message; returns `None` for a message of another kind.
    fn from_message(message: &ExchangeMessage, venue: &str) -> Option<Self>;
}

impl FeedEvent for Trade {
    const CHANNEL: &'static str = "matches";

    fn from_message(message: &ExchangeMessage, venue: &str) -> Option<Self> {
        match message {
            ExchangeMessage::Match(trade) | ExchangeMessage::LastMatch(trade) => trade.trade(venue),
            _ => None,
        }
    }
}

impl FeedEvent for Tick {
    const CHANNEL: &'static str = "ticker";

    fn from_message(message: &ExchangeMessage, venue: &str) -> Option<Self> {
        match message {
            ExchangeMessage::Ticker(ticker) => ticker.tick(venue),
            _ => None,
        }
    }
}
