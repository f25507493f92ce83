//! Aggregates prices into candles. It does no I/O.

use crate::proto::Candle;

/// Price at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PricePoint {
    /// Time, in microseconds since 1970.
    pub time: i64,
    /// Price of one unit.
    pub price: f64,
    /// Traded amount.
    pub amount: f64,
}

/// Aggregates prices, ordered by time, into candles of `resolution` seconds.
#[must_use]
pub fn candles(prices: impl IntoIterator<Item = PricePoint>, resolution: u32) -> Vec<Candle> {
    let length = i64::from(resolution.max(1)) * 1_000_000;
    let mut candles: Vec<Candle> = Vec::new();
    for price in prices {
        let time = price.time.div_euclid(length) * length;
        match candles.last_mut().filter(|candle| candle.time == time) {
            Some(candle) => extend(candle, price),
            None => candles.push(Candle {
                time,
                open: price.price,
                high: price.price,
                low: price.price,
                close: price.price,
                volume: price.amount,
                events: 1,
            }),
        }
    }
    candles
}

/// Returns the mean of the last `count` closing prices, or `None` if there are fewer.
#[must_use]
pub fn mean(candles: &[Candle], count: usize) -> Option<f64> {
    let last = candles.len().checked_sub(count).filter(|_| count > 0)?;
    let sum: f64 = candles.iter().skip(last).map(|candle| candle.close).sum();
    Some(sum / count as f64)
}

fn extend(candle: &mut Candle, price: PricePoint) {
    candle.high = candle.high.max(price.price);
    candle.low = candle.low.min(price.price);
    candle.close = price.price;
    candle.volume += price.amount;
    candle.events += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(second: i64, price: f64) -> PricePoint {
        PricePoint {
            time: second * 1_000_000,
            price,
            amount: 2.0,
        }
    }

    #[test]
    fn prices_of_one_interval_form_one_candle() {
        let prices = [
            price(10, 5.0),
            price(11, 9.0),
            price(14, 4.0),
            price(20, 6.0),
        ];
        let found = candles(prices, 5);
        let first = Candle {
            time: 10_000_000,
            open: 5.0,
            high: 9.0,
            low: 4.0,
            close: 4.0,
            volume: 6.0,
            events: 3,
        };
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], first);
        assert_eq!((found[1].time, found[1].events), (20_000_000, 1));
    }

    #[test]
    fn a_mean_needs_enough_candles() {
        let all = candles([price(0, 1.0), price(1, 2.0), price(2, 6.0)], 1);
        assert_eq!(mean(&all, 2), Some(4.0));
        assert_eq!(mean(&all, 3), Some(3.0));
        assert_eq!(mean(&all, 4), None);
        assert_eq!(mean(&all, 0), None);
    }
}
