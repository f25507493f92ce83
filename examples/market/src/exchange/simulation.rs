//! The simulated market: prices that wander, the same for the same seed on every machine. Pure.

/// Midnight of 2016-12-01, in microseconds since 1970: when the simulated market opens.
const OPENS: i64 = 1_480_550_400_000_000;
/// Between two events on average, in microseconds of the market's own time.
const PAUSE: u64 = 10_000;

/// Which of the two simulated exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Trades of coins.
    Crypto,
    /// Ticks of currencies.
    Fx,
}

/// One thing that happened on the simulated market.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// Counts from 1.
    pub number: u64,
    /// What it happened to.
    pub symbol: &'static str,
    /// In microseconds since 1970.
    pub time: i64,
    /// What was paid, or the middle between bid and ask.
    pub price: f64,
    /// Between the middle and what one pays or gets.
    pub spread: f64,
    /// How much was traded.
    pub amount: f64,
    /// Whether the buyer came to the seller.
    pub is_buy: bool,
}

/// Everything that ever happens, one after the other.
#[derive(Clone, Debug)]
pub struct Simulation {
    listed: Vec<Listed>,
    random: Random,
    number: u64,
    time: i64,
}

#[derive(Clone, Debug)]
struct Listed {
    symbol: &'static str,
    price: f64,
    /// How far the price goes at a time, as a part of it.
    step: f64,
    /// So many of the smallest step of a price make 1.
    scale: f64,
}

/// SplitMix64: small, and the same everywhere, which no crate promises across its versions.
#[derive(Clone, Debug)]
struct Random(u64);

impl Kind {
    /// The last part of the exchange's URL.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Crypto => "crypto",
            Self::Fx => "fx",
        }
    }

    fn listed(self) -> Vec<Listed> {
        let list = |symbol, price, step, scale| Listed {
            symbol,
            price,
            step,
            scale,
        };
        match self {
            Self::Crypto => vec![
                list("BTC-USD", 760.0, 0.000_6, 100.0),
                list("ETH-USD", 8.6, 0.000_9, 1_000.0),
                list("LTC-USD", 3.9, 0.000_8, 1_000.0),
            ],
            Self::Fx => vec![
                list("EUR-USD", 1.060_0, 0.000_05, 100_000.0),
                list("GBP-USD", 1.250_0, 0.000_06, 100_000.0),
                list("AUD-USD", 0.738_0, 0.000_07, 100_000.0),
            ],
        }
    }
}

impl Simulation {
    /// The market of this seed, from its first event.
    #[must_use]
    pub fn new(kind: Kind, seed: u64) -> Self {
        Self {
            listed: kind.listed(),
            random: Random(seed ^ kind.listed().len() as u64 ^ ((kind as u64) << 32)),
            number: 0,
            time: OPENS,
        }
    }
}

impl Iterator for Simulation {
    type Item = Happening;

    fn next(&mut self) -> Option<Happening> {
        self.number += 1;
        self.time += (self.random.next() % (2 * PAUSE)) as i64;
        let chosen = (self.random.next() % self.listed.len() as u64) as usize;
        let step = self.random.normal();
        let amount = 1.0 + (self.random.next() % 9_999) as f64;
        let is_buy = self.random.next().is_multiple_of(2);
        let listed = &mut self.listed[chosen];
        listed.price *= 1.0 + listed.step * step;
        Some(Happening {
            number: self.number,
            symbol: listed.symbol,
            time: self.time,
            price: rounded(listed.price, listed.scale),
            spread: rounded(listed.price * listed.step, listed.scale),
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

    /// Nearly normal, with mean 0 and deviation 1. Sums alone, so that no machine's own logarithm
    /// has a say.
    fn normal(&mut self) -> f64 {
        let sum: f64 = (0..12).map(|_| (self.next() >> 11) as f64).sum();
        sum / (1_u64 << 53) as f64 - 6.0
    }
}

fn rounded(price: f64, scale: f64) -> f64 {
    (price * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(seed: u64) -> Vec<Happening> {
        Simulation::new(Kind::Crypto, seed).take(2_000).collect()
    }

    #[test]
    fn a_seed_is_a_market() {
        assert_eq!(some(7), some(7));
        assert_ne!(some(7), some(8));
        let last = some(7).pop().unwrap();
        assert_eq!(last.number, 2_000);
        // Written down once: whoever changes the simulation changes everybody's replays.
        assert_eq!(
            (last.symbol, last.time, last.price),
            ("BTC-USD", 1_480_550_420_036_789, 775.47),
        );
    }

    #[test]
    fn the_market_is_a_plausible_one() {
        let events = some(1);
        assert!(events.is_sorted_by_key(|event| event.time));
        assert!(
            events
                .iter()
                .all(|event| event.price > 0.0 && event.amount > 0.0)
        );
        let seconds = (events[1_999].time - OPENS) / 1_000_000;
        assert!((15..25).contains(&seconds), "{seconds}");
    }
}
