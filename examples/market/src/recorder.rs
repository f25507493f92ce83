//! The recorder: every trade and tick into the database, acknowledged once it is on the disk.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use micro_runtime::{
    BatchSubscriber, Bus, Context, Delivered, Durable, RunningServer, Server, Status,
};

use crate::Result;
use crate::proto::{Tick, Trade};
use crate::store::{Row, Writer};

/// One transaction holds at most so many events; it holds what is there, and waits for no more.
const BATCH: usize = 1_000;
/// Room for several recorders.
const MAX_ACK_PENDING: u32 = 16_000;
/// So long after the death of a recorder the others get what it had in hand.
const ACK_WAIT: Duration = Duration::from_secs(5);
const BACKOFF: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// Writes events; recorders that run at the same time share the work.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Mutex<Writer>>);

impl Recorder {
    /// Opens the database, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// If SQLite refuses.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Writer::open(path)?))))
    }

    /// Begins to record.
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

    async fn record<E: Row>(&self, events: Vec<Delivered<E>>) -> std::result::Result<(), Status> {
        let writer = Arc::clone(&self.0);
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.write(&events)
        });
        let written = written
            .await
            .map_err(|error| Status::internal("the writer has ended").with_source(error))?;
        // Delivered again, later: a full disk must not cost an event.
        written.map_err(|error| Status::unavailable(format!("SQLite: {error}")).with_source(error))
    }
}

impl<E: Row> BatchSubscriber<E> for Recorder {
    async fn on_batch(
        &self,
        _ctx: Context,
        events: Vec<Delivered<E>>,
    ) -> std::result::Result<(), Status> {
        self.record(events).await
    }
}

fn durable(name: &str) -> Durable {
    Durable::named(name)
        .batch(BATCH)
        .ack_wait(ACK_WAIT)
        .max_ack_pending(MAX_ACK_PENDING)
        .backoff(BACKOFF)
}
