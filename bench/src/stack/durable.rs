//! Durable events, with micro and on JetStream by hand. Both publish with a message id and the same
//! number in flight, and acknowledge one by one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::message::PublishMessage;
use futures_util::StreamExt as _;
use micro_runtime::jetstream::Durable;
use micro_runtime::{Bus, Context, Server, Status, Subscriber, service};
use prost::Message as _;
use tokio::sync::{Notify, Semaphore};

use crate::echo::ours::{Entry, EntryFilter};
use crate::failure::Result;
use crate::load::{LoadCounter, Window};

/// Maximum number of published events without an acknowledgment.
const MAX_IN_FLIGHT: usize = 256;
/// Number of deliveries that a consumer by hand requests together: async-nats's default. It requests
/// the next batch when half of one is left, so one and a half can be outstanding. Ours has as many.
const PULL_BATCH: usize = 200;
const MAX_OUTSTANDING: usize = PULL_BATCH + PULL_BATCH / 2;
/// Maximum number of events that are stored for a consumer.
const MAX_BACKLOG: u64 = 200_000;
/// Maximum size of these events, in bytes.
const MAX_BACKLOG_BYTES: u64 = 128 << 20;
/// Maximum size of the stream to which events are published, in bytes.
const MAX_STREAM_BYTES: u64 = 64 << 20;
const WORKERS: usize = 16;

/// The JetStream streams of a stack.
struct EventStore {
    context: jetstream::Context,
    /// First token of each subject.
    prefix: &'static str,
}

/// Publishes with micro until the window is over.
pub(crate) async fn publish(bus: &Bus, bytes: usize, window: Window) -> Result<LoadCounter> {
    let store = EventStore::of(&bus.nats().ok_or("no NATS")?, "evt");
    store.create("publish", true).await?;
    let publisher = bus.durable_publisher().max_in_flight(MAX_IN_FLIGHT);
    let mut counter = LoadCounter::new(window);
    while counter.record() {
        // `flush` reports the events that were not stored.
        let _pending = publisher.publish(&entry("publish", bytes)).send().await?;
    }
    publisher.flush().await?;
    Ok(counter)
}

/// Publishes by hand until the window is over.
pub(crate) async fn publish_by_hand(
    client: &Client,
    bytes: usize,
    window: Window,
) -> Result<LoadCounter> {
    let store = EventStore::of(client, "hand");
    store.create("publish", true).await?;
    let mut counter = LoadCounter::new(window);
    store
        .publish(|| counter.record().then(|| entry("publish", bytes)))
        .await?;
    Ok(counter)
}

/// Counts events and notifies when the last one was handled.
struct CountingSubscriber(Arc<Progress>);

/// The progress of a consumer.
struct Progress {
    handled: AtomicU64,
    /// Time of the first event, so that the start of the consumer is not measured.
    first: OnceLock<Instant>,
    total: u64,
    is_over: Notify,
}

#[service]
impl Subscriber<Entry> for CountingSubscriber {
    async fn on_event(&self, _: Context, _: Entry) -> Result<(), Status> {
        let before = self.0.handled.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            let _ = self.0.first.set(Instant::now());
        }
        if before + 1 == self.0.total {
            self.0.is_over.notify_one();
        }
        Ok(())
    }
}

/// Consumes with micro until the window is over or no event is left.
pub(crate) async fn consume(bus: &Bus, bytes: usize, window: Window) -> Result<LoadCounter> {
    let store = EventStore::of(&bus.nats().ok_or("no NATS")?, "evt");
    let (kind, total) = store.fill(bytes).await?;
    let progress = Arc::new(Progress {
        handled: AtomicU64::new(0),
        first: OnceLock::new(),
        total,
        is_over: Notify::new(),
    });
    let durable = Durable::named("reader")
        .filter(EntryFilter::new().kind(&kind))
        .max_concurrent(WORKERS)
        .prefetch(MAX_OUTSTANDING - WORKERS);
    let server =
        Server::new(bus).subscribe::<Entry>(CountingSubscriber(Arc::clone(&progress)), durable);
    let server = server.start().await?;
    let _ = tokio::time::timeout(length(window), progress.is_over.notified()).await;
    let read = progress.handled.load(Ordering::Relaxed);
    let elapsed = progress
        .first
        .get()
        .ok_or("nothing was read in time")?
        .elapsed();
    server.shutdown().await?;
    store.delete_consumer(&kind).await?;
    Ok(LoadCounter::of(window, read, elapsed))
}

/// Consumes by hand until the window is over or no event is left.
pub(crate) async fn consume_by_hand(
    client: &Client,
    bytes: usize,
    window: Window,
) -> Result<LoadCounter> {
    let store = EventStore::of(client, "hand");
    let (kind, total) = store.fill(bytes).await?;
    let stream = store.context.get_stream(store.stream(&kind)).await?;
    let config = pull::Config {
        durable_name: Some("reader".to_owned()),
        filter_subject: store.subject(&kind),
        max_ack_pending: 1000,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let messages = consumer.stream().max_messages_per_batch(PULL_BATCH);
    let mut messages = messages.messages().await?;
    let (mut read, mut begun) = (0, Instant::now());
    while read < total && begun.elapsed() < length(window) {
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
    store.delete_consumer(&kind).await?;
    Ok(LoadCounter::of(window, read, elapsed))
}

impl EventStore {
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

    /// Creates the stream of a kind and returns the number of its events.
    async fn create(&self, kind: &str, is_bounded: bool) -> Result<u64> {
        let config = jetstream::stream::Config {
            name: self.stream(kind),
            subjects: vec![self.subject(kind)],
            max_bytes: if is_bounded {
                MAX_STREAM_BYTES as i64
            } else {
                -1
            },
            duplicate_window: Duration::from_secs(10),
            ..jetstream::stream::Config::default()
        };
        let stream = self.context.get_or_create_stream(config).await?;
        Ok(stream.cached_info().state.messages)
    }

    /// Stores events for a consumer and returns their kind and number.
    async fn fill(&self, bytes: usize) -> Result<(String, u64)> {
        let kind = format!("consume{bytes}");
        let total = MAX_BACKLOG.min(MAX_BACKLOG_BYTES / bytes.max(1) as u64);
        let mut stored = self.create(&kind, false).await?;
        self.publish(|| {
            stored += 1;
            (stored <= total).then(|| entry(&kind, bytes))
        })
        .await?;
        Ok((kind, total))
    }

    /// Publishes entries until `next` returns none.
    async fn publish(&self, mut next: impl FnMut() -> Option<Entry>) -> Result<()> {
        let permits = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
        let failed = Arc::new(AtomicU64::new(0));
        while let Some(entry) = next() {
            let permit = Arc::clone(&permits).acquire_owned().await?;
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
                drop(permit);
            });
        }
        let _all = permits.acquire_many(MAX_IN_FLIGHT as u32).await?;
        match failed.load(Ordering::Relaxed) {
            0 => Ok(()),
            failed => Err(format!("{failed} events were not stored").into()),
        }
    }

    /// Deletes the consumer, so that the next one starts at the first event.
    async fn delete_consumer(&self, kind: &str) -> Result<()> {
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
