//! The settings of a feed.

use std::path::PathBuf;

/// Settings of a feed.
#[derive(Clone, Debug)]
pub struct FeedSettings {
    /// URL of the venue's WebSocket.
    pub url: String,
    /// Name of the venue in events.
    pub venue: String,
    /// Symbols to subscribe to; to a simulated exchange an empty list means all.
    pub symbols: Vec<String>,
    /// Whether the venue is a simulated exchange, which can resume after a number.
    pub is_simulated: bool,
    /// Number after which a simulated exchange resumes.
    pub after: u64,
    /// File for the ids of acknowledged events.
    pub ledger: Option<PathBuf>,
}
