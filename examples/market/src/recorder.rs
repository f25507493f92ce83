//! The recorder: writes every trade and tick into the database, and acknowledges it once it is on disk.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use micro_runtime::jetstream::{BatchSubscriber, Durable, DurableEvent};
use micro_runtime::{Bus, Context, RunningServer, Server, Status};

use crate::Result;
use crate::proto::{Tick, Trade};
use crate::store::{Row, Writer};

/// Maximum number of events in one transaction. A batch holds the events that are there, and does not
/// wait for more.
const MAX_BATCH: usize = 1_000;
/// Maximum number of unacknowledged events of all recorders together.
const MAX_ACK_PENDING: u32 = 16_000;
/// Time after which the events of a recorder that has died are delivered to another one.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// Delays before an event whose batch failed is delivered again.
const BACKOFF: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// Subscriber of trades and ticks. Recorders that run at the same time share the events.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Mutex<Writer>>);

impl Recorder {
    /// Opens the database, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// If SQLite cannot open it.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Writer::open(path)?))))
    }

    /// Starts to record.
    ///
    /// # Errors
    ///
    /// If the stream cannot be read.
    pub async fn start(&self, bus: &Bus) -> Result<RunningServer> {
        let server = Server::new(bus)
            .subscribe_batch::<Trade>(self.clone(), durable("recorder-trades"))
            .subscribe_batch::<Tick>(self.clone(), durable("recorder-ticks"));
        Ok(server.start().await?)
    }

    async fn record<E: Row>(
        &self,
        events: Vec<DurableEvent<E>>,
    ) -> std::result::Result<(), Status> {
        let writer = Arc::clone(&self.0);
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.write(&events)
        });
        let written = written
            .await
            .map_err(|error| Status::internal("the writer has ended").with_source(error))?;
        // A failed batch is delivered again later, so that a full disk loses no event.
        written.map_err(|error| Status::unavailable(format!("SQLite: {error}")).with_source(error))
    }
}

impl<E: Row> BatchSubscriber<E> for Recorder {
    async fn on_batch(
        &self,
        _ctx: Context,
        events: Vec<DurableEvent<E>>,
    ) -> std::result::Result<(), Status> {
        self.record(events).await
    }
}

fn durable(name: &str) -> Durable {
    Durable::named(name)
        .batch(MAX_BATCH)
        .ack_wait(ACK_WAIT)
        .max_ack_pending(MAX_ACK_PENDING)
        .backoff(BACKOFF)
}
