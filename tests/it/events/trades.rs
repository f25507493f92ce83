//! The event that most tests publish.

use micro_tests::market::Trade;

pub(crate) fn trade(venue: &str, symbol: &str, number: u64) -> Trade {
    Trade {
        venue: venue.into(),
        symbol: symbol.into(),
        number,
        price: 1.5,
    }
}
