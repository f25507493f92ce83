//! The relay: publishes what the outbox holds, in its order, and removes what JetStream has acknowledged.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use micro_runtime::Bus;
use micro_runtime::jetstream::EventStream;
use prost::Message as _;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::proto::OrderPlaced;
use crate::store::Store;

/// Maximum number of events that are read from the outbox at a time.
const MAX_BATCH: u32 = 100;
/// Time after which the outbox is looked at again once it is empty. Another process may have stored an order, of which
/// SQLite sends no notice.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Result of the relay: an error of the database or of the bus.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Returns the stream of the shop's events.
///
/// Its window of duplicates is the time for which a relay may be away between the acknowledgment of an event and the
/// removal of its row.
pub fn shop_stream() -> EventStream {
    EventStream::named("SHOP")
        .subject("evt.shop.>")
        .duplicate_window(Duration::from_secs(120))
}

/// Publishes what is in the outbox, until that is empty; returns the number of events.
///
/// One relay at a time: two would publish the same events, which the stream stores once, and so gain nothing.
///
/// # Errors
///
/// If the database fails, or the stream takes an event neither at once nor within 20 s. Everything is in the outbox
/// still, for the next run.
pub async fn drain(bus: &Bus, store: &Arc<Store>) -> Result<u64> {
    let mut sent = 0;
    loop {
        let reading = Arc::clone(store);
        let events = spawn_blocking(move || reading.unsent(MAX_BATCH)).await??;
        if events.is_empty() {
            return Ok(sent);
        }
        for event in events {
            let order = OrderPlaced::decode(event.event.as_slice())?;
            bus.publish_durable(&order).id(&event.event_id).await?;
            let marking = Arc::clone(store);
            spawn_blocking(move || marking.mark_sent(&event)).await??;
            sent += 1;
        }
    }
}

/// Returns the ids of the orders whose events the stream has, in its order.
///
/// # Errors
///
/// If the stream cannot be read.
pub async fn stored_order_ids(bus: &Bus) -> Result<Vec<String>> {
    let mut events = bus.replay::<OrderPlaced>().open().await?;
    let mut ids = Vec::new();
    while let Some(event) = events.next().await.transpose()? {
        ids.push(event.order_id.clone());
    }
    Ok(ids)
}

/// Publishes what is in the outbox, and what comes into it, until this future is dropped.
///
/// # Errors
///
/// If the database fails. An event that is not taken is tried again.
pub async fn run(bus: &Bus, store: &Arc<Store>) -> Result<()> {
    loop {
        if let Err(error) = drain(bus, store).await {
            if error.is::<rusqlite::Error>() {
                return Err(error);
            }
            tracing::warn!(%error, "the events of the outbox are not published, trying again");
        }
        sleep(POLL_INTERVAL).await;
    }
}
