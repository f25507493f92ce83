//! Durable events, with micro and on JetStream by hand. Both store under an id, with as many in flight,
//! and acknowledge one by one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::message::PublishMessage;
use futures_util::StreamExt as _;
use micro_runtime::{Bus, Context, Durable, Server, Status, Subscriber, service};
use prost::Message as _;
use tokio::sync::{Notify, Semaphore};

use crate::Result;
use crate::echo::ours::{Entry, EntryFilter};
use crate::load::{Count, Window};

/// Events that may wait for their acknowledgment.
const IN_FLIGHT: usize = 256;
/// Deliveries that a consumer by hand asks for at a time: async-nats's own number. It does so when
/// half of them are left, so that half as many again can be under way; ours has as many.
const PULLED: usize = 200;
const UNDER_WAY: usize = PULLED + PULLED / 2;
/// What is stored to be consumed: so many, and no more bytes.
const BACKLOG: u64 = 200_000;
const BACKLOG_BYTES: u64 = 128 << 20;
/// What the stream of a publisher keeps.
const KEPT_BYTES: u64 = 64 << 20;
const WORKERS: usize = 16;

/// Where a stack stores what it publishes, and what it consumes.
struct Store {
    context: jetstream::Context,
    /// Before each subject.
    prefix: &'static str,
}

/// Stores through the window with micro.
pub(crate) async fn publish(bus: &Bus, bytes: usize, window: Window) -> Result<Count> {
    let store = Store::of(bus.nats().ok_or("no NATS")?, "evt");
    store.create("publish", true).await?;
    let publisher = bus.durable_publisher().max_in_flight(IN_FLIGHT);
    let mut count = Count::new(window);
    while count.one() {
        // Whether all were stored is what `flush` says.
        let _pending = publisher.publish(&entry("publish", bytes)).send().await?;
    }
    publisher.flush().await?;
    Ok(count)
}

/// Stores through the window by hand.
pub(crate) async fn publish_by_hand(
    client: &Client,
    bytes: usize,
    window: Window,
) -> Result<Count> {
    let store = Store::of(client, "hand");
    store.create("publish", true).await?;
    let mut count = Count::new(window);
    store
        .publish(|| count.one().then(|| entry("publish", bytes)))
        .await?;
    Ok(count)
}

/// Counts, and says when it has seen enough.
struct Reader(Arc<Seen>);

struct Seen {
    events: AtomicU64,
    /// When the first came: how long it takes to start is not the question.
    first: OnceLock<Instant>,
    all: u64,
    is_over: Notify,
}

#[service]
impl Subscriber<Entry> for Reader {
    async fn on_event(&self, _: Context, _: Entry) -> Result<(), Status> {
        let before = self.0.events.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            let _ = self.0.first.set(Instant::now());
        }
        if before + 1 == self.0.all {
            self.0.is_over.notify_one();
        }
        Ok(())
    }
}

/// Reads what is stored with micro, until the window ends or nothing is left.
pub(crate) async fn consume(bus: &Bus, bytes: usize, window: Window) -> Result<Count> {
    let store = Store::of(bus.nats().ok_or("no NATS")?, "evt");
    let (kind, all) = store.fill(bytes).await?;
    let seen = Arc::new(Seen {
        events: AtomicU64::new(0),
        first: OnceLock::new(),
        all,
        is_over: Notify::new(),
    });
    let durable = Durable::named("reader")
        .filter(EntryFilter::new().kind(&kind))
        .workers(WORKERS)
        .prefetch(UNDER_WAY - WORKERS);
    let server = Server::new(bus).subscribe::<Entry>(Reader(Arc::clone(&seen)), durable);
    let server = server.start().await?;
    let _ = tokio::time::timeout(length(window), seen.is_over.notified()).await;
    let read = seen.events.load(Ordering::Relaxed);
    let elapsed = seen
        .first
        .get()
        .ok_or("nothing was read in time")?
        .elapsed();
    server.shutdown().await?;
    store.forget(&kind).await?;
    Ok(Count::of(window, read, elapsed))
}

/// The same by hand.
pub(crate) async fn consume_by_hand(
    client: &Client,
    bytes: usize,
    window: Window,
) -> Result<Count> {
    let store = Store::of(client, "hand");
    let (kind, all) = store.fill(bytes).await?;
    let stream = store.context.get_stream(store.stream(&kind)).await?;
    let config = pull::Config {
        durable_name: Some("reader".to_owned()),
        filter_subject: store.subject(&kind),
        max_ack_pending: 1000,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let messages = consumer.stream().max_messages_per_batch(PULLED);
    let mut messages = messages.messages().await?;
    let (mut read, mut begun) = (0, Instant::now());
    while read < all && begun.elapsed() < length(window) {
        let message = messages.next().await.ok_or("no more messages")??;
        if read == 0 {
            begun = Instant::now();
        }
        Entry::decode(message.payload.clone())?;
        message.ack().await?;
        read += 1;
    }
    let elapsed = begun.elapsed();
    drop(messages);
    store.forget(&kind).await?;
    Ok(Count::of(window, read, elapsed))
}

impl Store {
    fn of(client: &Client, prefix: &'static str) -> Self {
        Self {
            context: jetstream::new(client.clone()),
            prefix,
        }
    }

    fn subject(&self, kind: &str) -> String {
        format!("{}.stored.{kind}", self.prefix)
    }

    fn stream(&self, kind: &str) -> String {
        format!("{}-{kind}", self.prefix)
    }

    /// Makes the stream of a kind; how many events it has.
    async fn create(&self, kind: &str, is_bounded: bool) -> Result<u64> {
        let config = jetstream::stream::Config {
            name: self.stream(kind),
            subjects: vec![self.subject(kind)],
            max_bytes: if is_bounded { KEPT_BYTES as i64 } else { -1 },
            duplicate_window: Duration::from_secs(10),
            ..jetstream::stream::Config::default()
        };
        let stream = self.context.get_or_create_stream(config).await?;
        Ok(stream.cached_info().state.messages)
    }

    /// Stores what a consumer is to read; under which kind, and how many.
    async fn fill(&self, bytes: usize) -> Result<(String, u64)> {
        let kind = format!("consume{bytes}");
        let all = BACKLOG.min(BACKLOG_BYTES / bytes.max(1) as u64);
        let mut stored = self.create(&kind, false).await?;
        self.publish(|| {
            stored += 1;
            (stored <= all).then(|| entry(&kind, bytes))
        })
        .await?;
        Ok((kind, all))
    }

    /// Stores entries until there are no more, with many in flight.
    async fn publish(&self, mut next: impl FnMut() -> Option<Entry>) -> Result<()> {
        let places = Arc::new(Semaphore::new(IN_FLIGHT));
        let failed = Arc::new(AtomicU64::new(0));
        while let Some(entry) = next() {
            let place = Arc::clone(&places).acquire_owned().await?;
            let message = PublishMessage::build()
                .payload(entry.encode_to_vec().into())
                .message_id(nuid::next().as_str());
            let subject = self.subject(&entry.kind);
            let stored = self.context.send_publish(subject, message).await?;
            let failed = Arc::clone(&failed);
            tokio::spawn(async move {
                if stored.await.is_err() {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
                drop(place);
            });
        }
        let _all = places.acquire_many(IN_FLIGHT as u32).await?;
        match failed.load(Ordering::Relaxed) {
            0 => Ok(()),
            failed => Err(format!("{failed} events were not stored").into()),
        }
    }

    async fn forget(&self, kind: &str) -> Result<()> {
        let stream = self.context.get_stream(self.stream(kind)).await?;
        stream.delete_consumer("reader").await?;
        Ok(())
    }
}

fn entry(kind: &str, bytes: usize) -> Entry {
    Entry {
        kind: kind.to_owned(),
        data: vec![7; bytes],
    }
}

fn length(window: Window) -> Duration {
    window.end - window.begin
}
