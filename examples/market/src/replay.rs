//! Reads the whole stream again, from its first event, into a separate database.

use std::path::Path;

use micro_runtime::Bus;
use micro_runtime::jetstream::DurableEvent;

use crate::Result;
use crate::proto::{Tick, Trade};
use crate::store::{Row, Writer};

/// Number of events in one transaction.
const BATCH_LEN: usize = 1_000;

/// Replays trades and ticks, and returns the number of events.
///
/// # Errors
///
/// If the stream cannot be read, or SQLite cannot write.
pub async fn replay(bus: &Bus, path: &Path) -> Result<u64> {
    let mut writer = Writer::open(path)?;
    let trades = replay_all::<Trade>(bus, &mut writer).await?;
    let ticks = replay_all::<Tick>(bus, &mut writer).await?;
    Ok(trades + ticks)
}

async fn replay_all<E: Row>(bus: &Bus, writer: &mut Writer) -> Result<u64> {
    let mut replay = bus.replay::<E>().open().await?;
    let mut batch: Vec<DurableEvent<E>> = Vec::with_capacity(BATCH_LEN);
    let mut count = 0;
    while let Some(event) = replay.next().await.transpose()? {
        batch.push(event);
        count += 1;
        if batch.len() == BATCH_LEN {
            writer.write(&batch)?;
            batch.clear();
        }
    }
    writer.write(&batch)?;
    Ok(count)
}
