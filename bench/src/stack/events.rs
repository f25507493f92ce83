//! Events, with micro and by hand: one process publishes, another says how far it has read.

use std::future::Future;
use std::time::Instant;

use async_nats::{Client, Subscriber as Incoming};
use futures_util::StreamExt as _;
use micro_runtime::{
    Bus, Context, RunningServer, Server, Status, Subscriber, Subscription, service,
};
use prost::Message as _;

use crate::Result;
use crate::echo::ours::Tick;
use crate::load::{Count, Window};

const BY_HAND: &str = "hand.bench.tick";
/// Where a subscriber says that it has read a batch, with the stack's name behind.
const READ: &str = "bench.read";
/// So many bytes make a batch, and so many batches may be under way: far from what NATS drops.
const BATCH_BYTES: usize = 256 * 1024;
const UNDER_WAY: u32 = 4;

/// Reads ticks, and says so after the last of each batch.
struct Reader {
    raw: Client,
}

#[service]
impl Subscriber<Tick> for Reader {
    async fn on_event(&self, _: Context, tick: Tick) -> Result<(), Status> {
        if is_last(&tick) {
            let said = self.raw.publish(format!("{READ}.micro"), "".into()).await;
            said.map_err(|error| Status::unavailable("cannot be told").with_source(error))?;
        }
        Ok(())
    }
}

/// Subscribes with micro.
pub(crate) async fn read(bus: &Bus, url: &str) -> Result<RunningServer> {
    let raw = async_nats::connect(url).await?;
    let server = Server::new(bus).subscribe::<Tick>(Reader { raw }, Subscription::queue("reader"));
    Ok(server.start().await?)
}

/// Subscribes by hand.
pub(crate) async fn read_by_hand(client: &Client) -> Result<()> {
    let mut ticks = client.queue_subscribe(BY_HAND, "reader".to_owned()).await?;
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(message) = ticks.next().await {
            if Tick::decode(message.payload).is_ok_and(|tick| is_last(&tick)) {
                let _ = client.publish(format!("{READ}.hand"), "".into()).await;
            }
        }
    });
    Ok(())
}

/// Publishes through the window with micro.
pub(crate) async fn publish(bus: &Bus, bytes: usize, window: Window) -> Result<Count> {
    let nats = bus.nats().ok_or("no NATS")?;
    let read = nats.subscribe(format!("{READ}.micro")).await?;
    let publish = |tick: Tick| async move { Ok(bus.publish(&tick).await?) };
    pump(bytes, window, read, publish).await
}

/// Publishes through the window by hand.
pub(crate) async fn publish_by_hand(
    client: &Client,
    bytes: usize,
    window: Window,
) -> Result<Count> {
    let read = client.subscribe(format!("{READ}.hand")).await?;
    let publish =
        |tick: Tick| async move { Ok(client.publish(BY_HAND, tick.encode_to_vec().into()).await?) };
    pump(bytes, window, read, publish).await
}

/// What the number of a tick says of its place in its batch.
fn is_last(tick: &Tick) -> bool {
    (tick.number + 1).is_multiple_of(batch(tick.data.len()))
}

fn batch(bytes: usize) -> u64 {
    (BATCH_BYTES / bytes.max(256)) as u64
}

/// Keeps batches under way; counts those that were read, from the first within the window on.
async fn pump<F>(
    bytes: usize,
    window: Window,
    mut read: Incoming,
    publish: impl Fn(Tick) -> F,
) -> Result<Count>
where
    F: Future<Output = Result<()>>,
{
    let data = vec![7; bytes];
    let batch = batch(bytes);
    let (mut number, mut under_way) = (0, 0);
    let mut counted = 0;
    let mut first = None;
    let mut last = Instant::now();
    while last < window.end {
        for _ in 0..batch {
            let data = data.clone();
            publish(Tick { number, data }).await?;
            number += 1;
        }
        under_way += 1;
        while under_way >= UNDER_WAY {
            read.next().await.ok_or("the connection ended")?;
            under_way -= 1;
            last = Instant::now();
            match first {
                None if last >= window.begin => first = Some(last),
                None => {}
                Some(_) => counted += batch,
            }
        }
    }
    for _ in 0..under_way {
        read.next().await.ok_or("the connection ended")?;
    }
    let elapsed = last - first.ok_or("nothing was read in time")?;
    Ok(Count::of(window, counted, elapsed).with_all(number))
}
