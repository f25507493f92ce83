//! A feed: reads a venue over its WebSocket, and publishes each event durably.

mod event;
mod ledger;
mod publisher;
mod settings;
mod venue;

pub use event::FeedEvent;
pub use ledger::{Ledger, LedgerCounter, acknowledged_ids};
pub use publisher::run;
pub use settings::FeedSettings;
