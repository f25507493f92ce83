//! The settings of a whole market.

use std::path::PathBuf;

/// Settings of a market that runs as one command.
#[derive(Clone, Debug)]
pub struct MarketSettings {
    /// Seconds until it ends; without it, until Ctrl-C.
    pub seconds: Option<u64>,
    /// Seed of the simulated exchanges.
    pub seed: u64,
    /// Events per second of each simulated exchange.
    pub rate: u32,
    /// Database file; without it, one that is removed at the end.
    pub db: Option<PathBuf>,
    /// Whether the folder of database and logs stays.
    pub keep: bool,
    /// Number of recorders that share the events.
    pub recorders: u32,
    /// WebSocket of a real venue for the crypto feed.
    pub url: Option<String>,
    /// Name of that venue in events.
    pub venue: String,
    /// Symbols to subscribe to at that venue.
    pub symbols: Vec<String>,
}

impl MarketSettings {
    /// Returns a line that states which prices are real.
    pub(super) fn origin_of_prices(&self) -> String {
        let seed = self.seed;
        match &self.url {
            None => format!("sim-crypto and sim-fx are simulated (seed {seed}): no price is real"),
            Some(url) => format!("{} is {url}; sim-fx is simulated (seed {seed})", self.venue),
        }
    }
}
