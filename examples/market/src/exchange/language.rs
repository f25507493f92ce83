//! What exchanges and their readers tell each other: the public JSON of Coinbase Exchange, of which
//! only what a market needs is read and written.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::exchange::simulation::Happening;
use crate::proto::{Side, Tick, Trade};

/// What a reader asks for first.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Subscribe {
    /// `subscribe`.
    pub r#type: String,
    /// The symbols; a simulated exchange takes none for all.
    pub product_ids: Vec<String>,
    /// `matches` for trades, `ticker` for ticks.
    pub channels: Vec<String>,
    /// To a simulated exchange: go on behind this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// What an exchange tells.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Told {
    /// Two parties agreed.
    Match(Match),
    /// The trade before the first `match`, so that nobody waits for a price.
    LastMatch(Match),
    /// The best prices have changed.
    Ticker(Ticker),
    /// The exchange does not understand.
    Error {
        /// Why.
        message: String,
    },
    /// Anything else is none of our business.
    #[serde(other)]
    Other,
}

/// A trade. `side` is that of the party who waited in the book.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Match {
    trade_id: u64,
    product_id: String,
    price: String,
    size: String,
    side: String,
    time: String,
}

/// The best prices.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Ticker {
    sequence: u64,
    product_id: String,
    best_bid: String,
    best_ask: String,
    time: String,
}

impl Match {
    /// As an exchange tells it.
    #[must_use]
    pub fn of(happening: &Happening) -> Self {
        Self {
            trade_id: happening.number,
            product_id: happening.symbol.to_owned(),
            price: happening.price.to_string(),
            size: happening.amount.to_string(),
            side: if happening.is_buy { "sell" } else { "buy" }.to_owned(),
            time: written(happening.time),
        }
    }

    /// The event; `None` if a number is none.
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
            time: read(&self.time)?,
            price: self.price.parse().ok()?,
            amount: self.size.parse().ok()?,
            side: side.into(),
        })
    }
}

impl Ticker {
    /// As an exchange tells it.
    #[must_use]
    pub fn of(happening: &Happening) -> Self {
        Self {
            sequence: happening.number,
            product_id: happening.symbol.to_owned(),
            best_bid: format!("{:.5}", happening.price - happening.spread),
            best_ask: format!("{:.5}", happening.price + happening.spread),
            time: written(happening.time),
        }
    }

    /// The event; `None` if a number is none.
    #[must_use]
    pub fn tick(&self, venue: &str) -> Option<Tick> {
        Some(Tick {
            venue: venue.to_owned(),
            symbol: self.product_id.clone(),
            number: self.sequence,
            time: read(&self.time)?,
            bid: self.best_bid.parse().ok()?,
            ask: self.best_ask.parse().ok()?,
        })
    }
}

fn written(time: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time) * 1_000);
    time.ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

fn read(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_venues_trade_is_read() {
        let text = r#"{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66",
            "taker_order_id":"132fb6ae","time":"2014-11-07T08:19:27.028459Z",
            "product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}"#;
        let Ok(Told::Match(told)) = serde_json::from_str(text) else {
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
        assert_eq!(told.trade("coinbase"), Some(expected));
    }

    #[test]
    fn what_is_simulated_is_read_back_as_it_was() {
        let happening = Happening {
            number: 7,
            symbol: "EUR-USD",
            time: 1_480_550_400_123_456,
            price: 1.06,
            spread: 0.00005,
            amount: 1.25,
            is_buy: true,
        };
        let text = serde_json::to_string(&Told::Ticker(Ticker::of(&happening))).unwrap();
        let Ok(Told::Ticker(told)) = serde_json::from_str(&text) else {
            panic!("no ticker: {text}");
        };
        let tick = told.tick("sim-fx").unwrap();
        assert_eq!((tick.number, tick.time), (7, 1_480_550_400_123_456));
        assert_eq!((tick.bid, tick.ask), (1.05995, 1.06005));
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        let told = serde_json::from_str::<Told>(r#"{"type":"subscriptions","channels":[]}"#);
        assert!(matches!(told, Ok(Told::Other)));
    }
}
