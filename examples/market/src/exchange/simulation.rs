//! The simulated market: random walks of prices, the same for the same seed on every machine. It does
//! no I/O and reads no clock.

/// Time of the first event: midnight of 2016-12-01 UTC, in microseconds since 1970.
const OPENING_TIME: i64 = 1_480_550_400_000_000;
/// Mean time between two events, in microseconds of the market's own time.
const MEAN_EVENT_INTERVAL: u64 = 10_000;

/// Kind of a simulated exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketKind {
    /// Trades of cryptocurrencies.
    Crypto,
    /// Ticks of currencies.
    Fx,
}

/// One event of the simulated market.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedEvent {
    /// Number of the event, counted from 1.
    pub number: u64,
    /// Traded symbol.
    pub symbol: &'static str,
    /// Time of the event, in microseconds since 1970.
    pub time: i64,
    /// Price of the trade, or the middle between bid and ask.
    pub price: f64,
    /// Distance from the middle to bid and to ask.
    pub spread: f64,
    /// Traded amount.
    pub amount: f64,
    /// Whether the taker bought.
    pub is_buy: bool,
}

/// Endless iterator over the events of a market.
#[derive(Clone, Debug)]
pub struct Simulation {
    instruments: Vec<Instrument>,
    random: Random,
    number: u64,
    time: i64,
}

#[derive(Clone, Debug)]
struct Instrument {
    symbol: &'static str,
    price: f64,
    /// Standard deviation of one price change, as a fraction of the price.
    step: f64,
    /// Number of smallest price increments in 1.
    scale: f64,
}

/// SplitMix64. Crates for random numbers do not guarantee the same sequence across their versions.
#[derive(Clone, Debug)]
struct Random(u64);

impl MarketKind {
    fn instruments(self) -> Vec<Instrument> {
        let instrument = |symbol, price, step, scale| Instrument {
            symbol,
            price,
            step,
            scale,
        };
        match self {
            Self::Crypto => vec![
                instrument("BTC-USD", 760.0, 0.000_6, 100.0),
                instrument("ETH-USD", 8.6, 0.000_9, 1_000.0),
                instrument("LTC-USD", 3.9, 0.000_8, 1_000.0),
            ],
            Self::Fx => vec![
                instrument("EUR-USD", 1.060_0, 0.000_05, 100_000.0),
                instrument("GBP-USD", 1.250_0, 0.000_06, 100_000.0),
                instrument("AUD-USD", 0.738_0, 0.000_07, 100_000.0),
            ],
        }
    }
}

impl Simulation {
    /// Creates the market of this seed, at its first event.
    #[must_use]
    pub fn new(kind: MarketKind, seed: u64) -> Self {
        Self {
            instruments: kind.instruments(),
            random: Random(seed ^ kind.instruments().len() as u64 ^ ((kind as u64) << 32)),
            number: 0,
            time: OPENING_TIME,
        }
    }
}

impl Iterator for Simulation {
    type Item = SimulatedEvent;

    fn next(&mut self) -> Option<SimulatedEvent> {
        self.number += 1;
        self.time += (self.random.next() % (2 * MEAN_EVENT_INTERVAL)) as i64;
        let chosen = (self.random.next() % self.instruments.len() as u64) as usize;
        let step = self.random.normal();
        let amount = 1.0 + (self.random.next() % 9_999) as f64;
        let is_buy = self.random.next().is_multiple_of(2);
        let instrument = &mut self.instruments[chosen];
        instrument.price *= 1.0 + instrument.step * step;
        Some(SimulatedEvent {
            number: self.number,
            symbol: instrument.symbol,
            time: self.time,
            price: round(instrument.price, instrument.scale),
            spread: round(instrument.price * instrument.step, instrument.scale),
            amount: amount / 1_000.0,
            is_buy,
        })
    }
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns an approximately normal number with mean 0 and deviation 1. Only sums are used, since
    /// the last bits of a logarithm differ between machines.
    fn normal(&mut self) -> f64 {
        let sum: f64 = (0..12).map(|_| (self.next() >> 11) as f64).sum();
        sum / (1_u64 << 53) as f64 - 6.0
    }
}

fn round(price: f64, scale: f64) -> f64 {
    (price * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(seed: u64) -> Vec<SimulatedEvent> {
        Simulation::new(MarketKind::Crypto, seed)
            .take(2_000)
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_events() {
        assert_eq!(events(7), events(7));
        assert_ne!(events(7), events(8));
        let last = events(7).pop().unwrap();
        assert_eq!(last.number, 2_000);
        // A fixed sample: a change of the simulation makes kept databases and new runs disagree.
        assert_eq!(
            (last.symbol, last.time, last.price),
            ("BTC-USD", 1_480_550_420_036_789, 775.47),
        );
    }

    #[test]
    fn events_are_ordered_and_have_plausible_values() {
        let events = events(1);
        assert!(events.is_sorted_by_key(|event| event.time));
        assert!(
            events
                .iter()
                .all(|event| event.price > 0.0 && event.amount > 0.0)
        );
        let seconds = (events[1_999].time - OPENING_TIME) / 1_000_000;
        assert!((15..25).contains(&seconds), "{seconds}");
    }
}
