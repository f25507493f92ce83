//! A feed: reads a venue over its WebSocket, and publishes what it is told, durably.

mod ledger;
mod venue;

use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use micro_runtime::{Bus, DurablePublisher, Pending};
use tokio::sync::mpsc;

use crate::Result;
use crate::exchange::language::Told;
use crate::feed::venue::Venue;
use crate::market::Quote;
use crate::proto::{Tick, Trade};

pub use ledger::{Ledger, Tally, acknowledged};

/// How many events may wait for their acknowledgment.
const IN_FLIGHT: usize = 1_024;
/// A venue does not tell twice, so a feed does not give up soon: it waits for NATS to come back, and
/// meanwhile reads no more than fits.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a feed is to read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The venue's WebSocket.
    pub url: String,
    /// What the venue is called in events.
    pub venue: String,
    /// What to ask for; a simulated exchange takes none for all.
    pub symbols: Vec<String>,
    /// Whether the venue can tell again what came behind a number.
    pub is_simulated: bool,
    /// Begins behind this number.
    pub after: u64,
    /// Where to write down what was acknowledged.
    pub ledger: Option<PathBuf>,
}

/// An event that a feed makes of what it is told.
pub trait Fed: Quote {
    /// The venue's channel.
    const CHANNEL: &'static str;

    /// The event, if this is one.
    fn from_told(told: &Told, venue: &str) -> Option<Self>;
}

impl Fed for Trade {
    const CHANNEL: &'static str = "matches";

    fn from_told(told: &Told, venue: &str) -> Option<Self> {
        match told {
            Told::Match(told) | Told::LastMatch(told) => told.trade(venue),
            _ => None,
        }
    }
}

impl Fed for Tick {
    const CHANNEL: &'static str = "ticker";

    fn from_told(told: &Told, venue: &str) -> Option<Self> {
        match told {
            Told::Ticker(told) => told.tick(venue),
            _ => None,
        }
    }
}

/// Feeds until `end`, then waits until everything is acknowledged, and says how many were.
///
/// # Errors
///
/// If an event is refused, or NATS stays away for ten minutes.
pub async fn run<E: Fed>(
    bus: &Bus,
    mut settings: Settings,
    end: impl Future<Output = Result<()>>,
) -> Result<u64> {
    let publisher = bus
        .durable_publisher()
        .max_in_flight(IN_FLIGHT)
        .timeout(PATIENCE);
    if let Some(path) = &settings.ledger {
        settings.after = settings.after.max(ledger::last_number(path)?);
    }
    let ledger = Ledger::open(settings.ledger.as_deref())?;
    let (sender, sent) = mpsc::channel(2 * IN_FLIGHT);
    let keeping = tokio::spawn(ledger.keep(sent));
    let feed = Feed::<E> {
        publisher,
        sender,
        venue: Venue::new(settings),
        event: PhantomData,
    };
    let fed = feed.until(end).await;
    // The feed is gone, and with it the sender: the ledger ends with the last acknowledgment.
    let acknowledged = keeping.await??;
    fed.map(|()| acknowledged)
}

struct Feed<E> {
    publisher: DurablePublisher,
    sender: mpsc::Sender<(String, Pending)>,
    venue: Venue,
    event: PhantomData<fn() -> E>,
}

impl<E: Fed> Feed<E> {
    async fn until(mut self, end: impl Future<Output = Result<()>>) -> Result<()> {
        tokio::pin!(end);
        loop {
            // Only waiting for the venue may be broken off: what is sent is written down, too.
            let event = tokio::select! {
                ended = &mut end => return ended,
                event = self.venue.next::<E>() => event,
            };
            let id = event.id();
            let pending = self.publisher.publish(&event).id(&id).send().await?;
            if self.sender.send((id, pending)).await.is_err() {
                return Err("the ledger has ended".into());
            }
        }
    }
}
