//! The account of a market: what was acknowledged, what was recorded, what is missing.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::feed::acknowledged;
use crate::store::Reader;

/// Counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Events that JetStream has acknowledged to a feed.
    pub published: u64,
    /// Rows in the database.
    pub recorded: u64,
    /// Acknowledged, and not in the database.
    pub lost: u64,
    /// Recorded, and acknowledged to nobody.
    pub unknown: u64,
    /// Rows that share their place in the stream with another.
    pub doubled: u64,
}

impl Account {
    /// Compares the feeds' ledgers with the database, event by event.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn of(ledgers: &[PathBuf], database: &Path) -> Result<Self> {
        let mut published = HashSet::new();
        for ledger in ledgers {
            published.extend(acknowledged(ledger)?);
        }
        // Read once, since it may grow meanwhile.
        let recorded = Reader::open(database)?.ids()?;
        let lost = published.iter().filter(|id| !recorded.contains_key(*id));
        let unknown = recorded.keys().filter(|id| !published.contains(*id));
        let places: HashSet<i64> = recorded.values().copied().collect();
        Ok(Self {
            published: published.len() as u64,
            recorded: recorded.len() as u64,
            lost: lost.count() as u64,
            unknown: unknown.count() as u64,
            doubled: (recorded.len() - places.len()) as u64,
        })
    }

    /// Whether the database holds exactly what was acknowledged, each once.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.published == self.recorded && self.lost + self.unknown + self.doubled == 0
    }
}
