//! Events, with micro and by hand: one process publishes, another acknowledges each batch.

use std::future::Future;
use std::time::Instant;

use async_nats::{Client, Subscriber as Incoming};
use futures_util::StreamExt as _;
use micro_runtime::{
    Bus, Context, RunningServer, Server, Status, Subscriber, Subscription, service,
};
use prost::Message as _;

use crate::echo::ours::Tick;
use crate::failure::Result;
use crate::load::{LoadCounter, Window};

const BY_HAND: &str = "hand.bench.tick";
/// Subject on which a subscriber acknowledges a batch, before the name of the stack.
const BATCH_READ: &str = "bench.read";
/// Size of a batch in bytes.
const BATCH_BYTES: usize = 256 * 1024;
/// Maximum number of published batches that are not acknowledged: far below the size at which
/// nats-server drops messages of a slow subscriber.
const MAX_UNREAD_BATCHES: u32 = 4;

/// Handles ticks and acknowledges the last of each batch.
struct BatchReader {
    raw: Client,
}

#[service]
impl Subscriber<Tick> for BatchReader {
    async fn on_event(&self, _: Context, tick: Tick) -> Result<(), Status> {
        if is_last(&tick) {
            let sent = self
                .raw
                .publish(format!("{BATCH_READ}.micro"), "".into())
                .await;
            sent.map_err(|error| Status::unavailable("cannot acknowledge").with_source(error))?;
        }
        Ok(())
    }
}

/// Subscribes with micro.
pub(crate) async fn read(bus: &Bus, url: &str) -> Result<RunningServer> {
    let raw = async_nats::connect(url).await?;
    let server =
        Server::new(bus).subscribe::<Tick>(BatchReader { raw }, Subscription::queue("reader"));
    Ok(server.start().await?)
}

/// Subscribes by hand.
pub(crate) async fn read_by_hand(client: &Client) -> Result<()> {
    let mut ticks = client.queue_subscribe(BY_HAND, "reader".to_owned()).await?;
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(message) = ticks.next().await {
            if Tick::decode(message.payload).is_ok_and(|tick| is_last(&tick)) {
                let _ = client
                    .publish(format!("{BATCH_READ}.hand"), "".into())
                    .await;
            }
        }
    });
    Ok(())
}

/// Publishes with micro until the window is over.
pub(crate) async fn publish(bus: &Bus, bytes: usize, window: Window) -> Result<LoadCounter> {
    let nats = bus.nats().ok_or("no NATS")?;
    let read = nats.subscribe(format!("{BATCH_READ}.micro")).await?;
    let publish = |tick: Tick| async move { Ok(bus.publish(&tick).await?) };
    publish_batches(bytes, window, read, publish).await
}

/// Publishes by hand until the window is over.
pub(crate) async fn publish_by_hand(
    client: &Client,
    bytes: usize,
    window: Window,
) -> Result<LoadCounter> {
    let read = client.subscribe(format!("{BATCH_READ}.hand")).await?;
    let publish =
        |tick: Tick| async move { Ok(client.publish(BY_HAND, tick.encode_to_vec().into()).await?) };
    publish_batches(bytes, window, read, publish).await
}

/// Returns whether a tick is the last one of its batch.
fn is_last(tick: &Tick) -> bool {
    (tick.number + 1).is_multiple_of(batch_len(tick.data.len()))
}

/// Returns the number of events in a batch.
fn batch_len(bytes: usize) -> u64 {
    (BATCH_BYTES / bytes.max(256)) as u64
}

/// Keeps batches in flight, and counts the acknowledged ones after the first within the window.
async fn publish_batches<F>(
    bytes: usize,
    window: Window,
    mut read: Incoming,
    publish: impl Fn(Tick) -> F,
) -> Result<LoadCounter>
where
    F: Future<Output = Result<()>>,
{
    let data = vec![7; bytes];
    let batch = batch_len(bytes);
    let (mut number, mut unread) = (0, 0);
    let mut counted = 0;
    let mut first = None;
    let mut last = Instant::now();
    while last < window.end {
        for _ in 0..batch {
            let data = data.clone();
            publish(Tick { number, data }).await?;
            number += 1;
        }
        unread += 1;
        while unread >= MAX_UNREAD_BATCHES {
            read.next().await.ok_or("the connection ended")?;
            unread -= 1;
            last = Instant::now();
            match first {
                None if last >= window.begin => first = Some(last),
                None => {}
                Some(_) => counted += batch,
            }
        }
    }
    for _ in 0..unread {
        read.next().await.ok_or("the connection ended")?;
    }
    let elapsed = last - first.ok_or("nothing was read in time")?;
    Ok(LoadCounter::of(window, counted, elapsed).with_total(number))
}
