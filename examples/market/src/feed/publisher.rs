//! Publishes the events of a venue, and records in the ledger which of them JetStream has stored.

use std::marker::PhantomData;
use std::time::Duration;

use micro_runtime::Bus;
use micro_runtime::jetstream::DurablePublisher;
use micro_runtime::jetstream::PublishHandle;
use tokio::sync::mpsc;

use crate::Result;
use crate::feed::event::FeedEvent;
use crate::feed::ledger::{self, Ledger};
use crate::feed::settings::FeedSettings;
use crate::feed::venue::VenueReader;

/// Maximum number of events that are published and not yet acknowledged.
const MAX_IN_FLIGHT: usize = 1_024;
/// Time after which a publish without an acknowledgment fails. It is long, since a venue does not
/// repeat its events: while NATS is away the feed waits, and reads no more than fits in flight.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(600);

/// Runs a feed until `shutdown` completes, then waits for the acknowledgments that are missing.
/// Returns the number of acknowledged events.
///
/// # Errors
///
/// If an event is rejected, or NATS stays away for ten minutes.
pub async fn run<E: FeedEvent>(
    bus: &Bus,
    mut settings: FeedSettings,
    shutdown: impl Future<Output = ()>,
) -> Result<u64> {
    let publisher = bus
        .durable_publisher()
        .max_in_flight(MAX_IN_FLIGHT)
        .timeout(PUBLISH_TIMEOUT);
    if let Some(path) = &settings.ledger {
        settings.after = settings.after.max(ledger::last_number(path)?);
    }
    let ledger = Ledger::open(settings.ledger.as_deref())?;
    let (sender, sent) = mpsc::channel(2 * MAX_IN_FLIGHT);
    let recording = tokio::spawn(ledger.record_acknowledgments(sent));
    let feed = Feed::<E> {
        publisher,
        sender,
        venue: VenueReader::new(settings),
        event: PhantomData,
    };
    let published = feed.publish_until(shutdown).await;
    // `publish_until` has dropped the sender, so the ledger ends after the last acknowledgment.
    let acknowledged = recording.await??;
    published.map(|()| acknowledged)
}

struct Feed<E> {
    publisher: DurablePublisher,
    sender: mpsc::Sender<(String, PublishHandle)>,
    venue: VenueReader,
    event: PhantomData<fn() -> E>,
}

impl<E: FeedEvent> Feed<E> {
    async fn publish_until(mut self, shutdown: impl Future<Output = ()>) -> Result<()> {
        tokio::pin!(shutdown);
        loop {
            // Only the wait for the venue is canceled: each event that is sent gets into the ledger.
            let event = tokio::select! {
                () = &mut shutdown => return Ok(()),
                event = self.venue.next::<E>() => event,
            };
            let id = event.id();
            let pending = self
                .publisher
                .publish(&event)
                .id(&id)
                .wait_for_ready()
                .send()
                .await?;
            if self.sender.send((id, pending)).await.is_err() {
                return Err("the ledger has ended".into());
            }
        }
    }
}
