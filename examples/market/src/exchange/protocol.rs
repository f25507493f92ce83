//! The messages between exchanges and their readers: the public JSON of Coinbase Exchange, reduced to
//! the fields that the market needs.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::exchange::simulation::SimulatedEvent;
use crate::proto::{Side, Tick, Trade};

/// First message of a reader.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Subscribe {
    /// Message type: `subscribe`.
    pub r#type: String,
    /// Symbols to receive; to a simulated exchange an empty list means all.
    pub product_ids: Vec<String>,
    /// Channels: `matches` for trades, `ticker` for ticks.
    pub channels: Vec<String>,
    /// Number after which a simulated exchange resumes; a real one has no such field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// Message of an exchange.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExchangeMessage {
    /// A trade.
    Match(Match),
    /// Last trade before the subscription, so that a reader has a price at once.
    LastMatch(Match),
    /// A change of the best prices.
    Ticker(Ticker),
    /// Rejection of a message of the reader.
    Error {
        /// Reason.
        message: String,
    },
    /// Every other message, which readers ignore.
    #[serde(other)]
    Other,
}

/// A trade. `side` is the side of the maker, the order that was already in the book.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Match {
    trade_id: u64,
    product_id: String,
    price: String,
    size: String,
    side: String,
    time: String,
}

/// Best bid and ask of a symbol.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Ticker {
    sequence: u64,
    product_id: String,
    best_bid: String,
    best_ask: String,
    time: String,
}

impl Match {
    /// Converts an event of the simulation.
    #[must_use]
    pub fn from_simulated(event: &SimulatedEvent) -> Self {
        Self {
            trade_id: event.number,
            product_id: event.symbol.to_owned(),
            price: event.price.to_string(),
            size: event.amount.to_string(),
            side: if event.is_buy { "sell" } else { "buy" }.to_owned(),
            time: format_time(event.time),
        }
    }

    /// Converts to an event; returns `None` if a field cannot be parsed.
    #[must_use]
    pub fn trade(&self, venue: &str) -> Option<Trade> {
        let side = match self.side.as_str() {
            "sell" => Side::Buy,
            "buy" => Side::Sell,
            _ => return None,
        };
        Some(Trade {
            venue: venue.to_owned(),
            symbol: self.product_id.clone(),
            number: self.trade_id,
            time: parse_time(&self.time)?,
            price: self.price.parse().ok()?,
            amount: self.size.parse().ok()?,
            side: side.into(),
        })
    }
}

impl Ticker {
    /// Converts an event of the simulation.
    #[must_use]
    pub fn from_simulated(event: &SimulatedEvent) -> Self {
        Self {
            sequence: event.number,
            product_id: event.symbol.to_owned(),
            best_bid: format!("{:.5}", event.price - event.spread),
            best_ask: format!("{:.5}", event.price + event.spread),
            time: format_time(event.time),
        }
    }

    /// Converts to an event; returns `None` if a field cannot be parsed.
    #[must_use]
    pub fn tick(&self, venue: &str) -> Option<Tick> {
        Some(Tick {
            venue: venue.to_owned(),
            symbol: self.product_id.clone(),
            number: self.sequence,
            time: parse_time(&self.time)?,
            bid: self.best_bid.parse().ok()?,
            ask: self.best_ask.parse().ok()?,
        })
    }
}

fn format_time(time: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time) * 1_000);
    time.ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

fn parse_time(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trade_of_a_real_venue_is_parsed() {
        let text = r#"{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66",
            "taker_order_id":"132fb6ae","time":"2014-11-07T08:19:27.028459Z",
            "product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}"#;
        let Ok(ExchangeMessage::Match(message)) = serde_json::from_str(text) else {
            panic!("no match");
        };
        let expected = Trade {
            venue: "coinbase".to_owned(),
            symbol: "BTC-USD".to_owned(),
            number: 10,
            time: 1_415_348_367_028_459,
            price: 400.23,
            amount: 5.23512,
            side: Side::Buy.into(),
        };
        assert_eq!(message.trade("coinbase"), Some(expected));
    }

    #[test]
    fn a_simulated_ticker_survives_a_round_trip() {
        let event = SimulatedEvent {
            number: 7,
            symbol: "EUR-USD",
            time: 1_480_550_400_123_456,
            price: 1.06,
            spread: 0.00005,
            amount: 1.25,
            is_buy: true,
        };
        let text = serde_json::to_string(&ExchangeMessage::Ticker(Ticker::from_simulated(&event)))
            .unwrap();
        let Ok(ExchangeMessage::Ticker(message)) = serde_json::from_str(&text) else {
            panic!("no ticker: {text}");
        };
        let tick = message.tick("sim-fx").unwrap();
        assert_eq!((tick.number, tick.time), (7, 1_480_550_400_123_456));
        assert_eq!((tick.bid, tick.ask), (1.05995, 1.06005));
    }

    #[test]
    fn an_unknown_message_type_is_accepted() {
        let text = r#"{"type":"subscriptions","channels":[]}"#;
        let message = serde_json::from_str::<ExchangeMessage>(text);
        assert!(matches!(message, Ok(ExchangeMessage::Other)));
    }
}
