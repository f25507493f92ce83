//! Compares the events that JetStream has acknowledged to the feeds with the rows of the database.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::feed::acknowledged_ids;
use crate::store::Reader;

/// Numbers of events at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Events that JetStream has acknowledged to a feed.
    pub published: u64,
    /// Rows of the database.
    pub recorded: u64,
    /// Acknowledged events without a row.
    pub lost: u64,
    /// Rows whose event is in no ledger.
    pub unknown: u64,
    /// Rows that have the stream sequence of another row.
    pub duplicated: u64,
}

impl Audit {
    /// Compares the feeds' ledgers with the database, event by event.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn run(ledgers: &[PathBuf], database: &Path) -> Result<Self> {
        let mut published = HashSet::new();
        for ledger in ledgers {
            published.extend(acknowledged_ids(ledger)?);
        }
        // One snapshot for all counts, since the recorder may add rows meanwhile.
        let recorded = Reader::open(database)?.sequences_by_id()?;
        let lost = published.iter().filter(|id| !recorded.contains_key(*id));
        let unknown = recorded.keys().filter(|id| !published.contains(*id));
        let sequences: HashSet<i64> = recorded.values().copied().collect();
        Ok(Self {
            published: published.len() as u64,
            recorded: recorded.len() as u64,
            lost: lost.count() as u64,
            unknown: unknown.count() as u64,
            duplicated: (recorded.len() - sequences.len()) as u64,
        })
    }

    /// Returns whether the database holds exactly the acknowledged events, each once.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.published == self.recorded && self.lost + self.unknown + self.duplicated == 0
    }
}
