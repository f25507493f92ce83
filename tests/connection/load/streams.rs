//! `StreamReaders`: streams that are open all the time, and are opened again when they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::{Bus, Status, StreamOptions};
use micro_tests::streams::{CountRequest, Item, StreamsClient};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::load::endings::Endings;
use crate::load::progress::Progress;

/// Number of streams: one half is read only, the other is written and read.
const STREAMS: usize = 8;
/// Time from one item to the next.
const PAUSE: Duration = Duration::from_millis(10);
/// Heartbeat of the streams: a peer that is gone is noticed after three.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The streams and what they count.
pub(crate) struct StreamReaders {
    pub(crate) counts: Arc<StreamCounts>,
    tasks: JoinSet<()>,
}

/// Counts of all streams.
#[derive(Default)]
pub(crate) struct StreamCounts {
    items: AtomicUsize,
    wrong: AtomicUsize,
    pub(crate) endings: Endings,
    pub(crate) progress: [Progress; STREAMS],
}

impl StreamReaders {
    pub(crate) fn start(bus: &Bus, waits: bool, stop: &CancellationToken) -> Self {
        let counts = Arc::new(StreamCounts::default());
        let mut tasks = JoinSet::new();
        for index in 0..STREAMS {
            let (client, counts, stop) = (bus.client(), Arc::clone(&counts), stop.clone());
            tasks.spawn(async move {
                while !stop.is_cancelled() {
                    let ended = stop
                        .run_until_cancelled(counts.read(&client, index, waits))
                        .await;
                    if let Some(Err(status)) = ended {
                        counts.endings.add(&status);
                    }
                    tokio::time::sleep(PAUSE).await; // sleep: the pace of the load
                }
            });
        }
        Self { counts, tasks }
    }

    /// Waits until all have ended.
    pub(crate) async fn ended(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

impl StreamCounts {
    /// Number of items in order.
    pub(crate) fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    /// Number of items out of order, or whose data is not that of their stream.
    pub(crate) fn wrong(&self) -> usize {
        self.wrong.load(Ordering::Relaxed)
    }

    async fn read(&self, client: &StreamsClient, index: usize, waits: bool) -> Result<(), Status> {
        match index % 2 {
            0 => self.read_only(client, index, waits).await,
            _ => self.write_and_read(client, index, waits).await,
        }
    }

    /// Reads numbered items until the stream ends.
    async fn read_only(
        &self,
        client: &StreamsClient,
        index: usize,
        waits: bool,
    ) -> Result<(), Status> {
        let request = CountRequest {
            messages: u64::MAX,
            pause_us: u32::try_from(PAUSE.as_micros()).unwrap(),
            ..CountRequest::default()
        };
        let mut call = client.count(request).stream_options(options());
        if waits {
            call = call.wait_for_ready();
        }
        let mut items = call.await?;
        for number in 0.. {
            let item = items.message().await?;
            self.take(index, item, number, &[])?;
        }
        Ok(())
    }

    /// Writes numbered items and reads each back.
    async fn write_and_read(
        &self,
        client: &StreamsClient,
        index: usize,
        waits: bool,
    ) -> Result<(), Status> {
        let mut call = client.echo().stream_options(options());
        if waits {
            call = call.wait_for_ready();
        }
        let (mut sender, mut echoes) = call.open().await?;
        for number in 0.. {
            let data = vec![u8::try_from(index).unwrap(); 100];
            let item = Item {
                number,
                data: data.clone(),
                ..Item::default()
            };
            sender.send(item).await?;
            let echo = echoes.message().await?;
            self.take(index, echo, number, &data)?;
            tokio::time::sleep(PAUSE).await; // sleep: the pace of the load
        }
        Ok(())
    }

    fn take(
        &self,
        index: usize,
        item: Option<Item>,
        number: u64,
        data: &[u8],
    ) -> Result<(), Status> {
        let item = item.ok_or_else(|| Status::data_loss("an end in the middle of the stream"))?;
        match item.number == number && item.data == data {
            true => self.items.fetch_add(1, Ordering::Relaxed),
            false => self.wrong.fetch_add(1, Ordering::Relaxed),
        };
        self.progress[index].note();
        Ok(())
    }
}

fn options() -> StreamOptions {
    StreamOptions::new().heartbeat(HEARTBEAT)
}
