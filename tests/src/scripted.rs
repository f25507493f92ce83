//! The handler behind `streams.v1.Streams`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream, StreamExt as _};
use micro_runtime::{Context, ReplyStream, Status, Streaming, service};

use crate::streams::{CountRequest, Item, Streams, Summary};

/// As many items follow when an echo wants no more of them.
pub const AFTER_DROP: u64 = 1_000;

/// Does what its messages say, and counts.
#[derive(Clone, Debug, Default)]
pub struct Scripted(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    alive: AtomicUsize,
    made: AtomicU64,
    taken: AtomicU64,
    canceled: Mutex<Vec<Instant>>,
    failures: Mutex<Vec<Option<Status>>>,
}

/// One handler, or the stream that it returned.
#[derive(Debug)]
struct Alive(Arc<Counts>);

/// What an echo does next.
enum Echoing {
    Reads(Streaming<Item>, Alive),
    /// It wants no more items; so many are to follow.
    Counts(u64, Alive),
}

impl Alive {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.alive.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(counts))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Scripted {
    /// How many calls have a handler or a stream that is alive.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.0.alive.load(Ordering::SeqCst)
    }

    /// How many items counts have made.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.0.made.load(Ordering::SeqCst)
    }

    /// How many items handlers have taken off their streams.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::SeqCst)
    }

    /// When the calls ended that came with the header `watch`.
    #[must_use]
    pub fn canceled(&self) -> Vec<Instant> {
        lock(&self.0.canceled).clone()
    }

    /// How the streams of callers ended that did not end in order, or were read on after a reply;
    /// `None` is an end in order.
    #[must_use]
    pub fn failures(&self) -> Vec<Option<Status>> {
        lock(&self.0.failures).clone()
    }

    /// Waits until every handler and every stream has ended.
    pub async fn idle(&self) {
        while self.alive() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await; // sleep: between two looks
        }
    }

    fn begin(&self, ctx: &Context, kind: &str) -> Result<Alive, Status> {
        ctx.set_header("kind", kind)?;
        ctx.set_header("first-bin", [0, 255, b'\n'])?;
        ctx.set_trailer("last-bin", [255, 0, b'\r'])?;
        if let Some(tenant) = ctx.header("tenant") {
            ctx.set_header("tenant", tenant)?;
        }
        if let Some(left) = ctx.remaining() {
            ctx.set_header("left-ms", left.as_millis().to_string())?;
        }
        if ctx.header("watch").is_some() {
            let (counts, ctx) = (Arc::clone(&self.0), ctx.clone());
            tokio::spawn(async move {
                ctx.canceled().await;
                lock(&counts.canceled).push(Instant::now());
            });
        }
        Ok(Alive::new(&self.0))
    }

    /// Takes the next item off a stream, and notes what is wrong with it.
    async fn take(&self, items: &mut Streaming<Item>) -> Result<Option<Item>, Status> {
        match items.message().await {
            Ok(item) => {
                let taken = u64::from(item.is_some());
                self.0.taken.fetch_add(taken, Ordering::SeqCst);
                Ok(item)
            }
            Err(status) => {
                lock(&self.0.failures).push(Some(status.clone()));
                Err(status)
            }
        }
    }

    /// Reads on after the call has ended.
    async fn read_on(self, mut items: Streaming<Item>) {
        loop {
            match self.take(&mut items).await {
                Ok(Some(_)) => {}
                Ok(None) => return lock(&self.0.failures).push(None),
                Err(_) => return,
            }
        }
    }

    async fn echo_one(self, echoing: Option<Echoing>) -> Option<Echoed> {
        let (mut items, alive) = match echoing? {
            Echoing::Counts(0, _) => return None,
            Echoing::Counts(left, alive) => {
                let item = Item {
                    number: AFTER_DROP - left,
                    ..Item::default()
                };
                return Some((Ok(item), Some(Echoing::Counts(left - 1, alive))));
            }
            Echoing::Reads(items, alive) => (items, alive),
        };
        let item = match self.take(&mut items).await {
            Ok(item) => item?,
            Err(status) => return Some((Err(status), None)),
        };
        match item.plan.as_str() {
            "fail" => return Some((Err(Status::aborted("asked to fail")), None)),
            "panic" => panic!("asked to panic"),
            "end" => return None,
            "wait" => std::future::pending().await,
            "drop" => return Some((Ok(item), Some(Echoing::Counts(AFTER_DROP, alive)))),
            _ => {}
        }
        Some((Ok(item), Some(Echoing::Reads(items, alive))))
    }
}

/// The next item of an echo, and what comes after it.
type Echoed = (Result<Item, Status>, Option<Echoing>);

#[service]
impl Streams for Scripted {
    async fn count(
        &self,
        ctx: Context,
        request: CountRequest,
    ) -> Result<impl ReplyStream<Item>, Status> {
        let alive = self.begin(&ctx, "count")?;
        ctx.set_trailer("sent", request.messages.to_string())?;
        match request.plan.as_str() {
            "refuse" => return Err(Status::failed_precondition("refused")),
            "never" => std::future::pending().await,
            "panic-first" => panic!("asked to panic"),
            _ => {}
        }
        Ok(items(request, alive))
    }

    async fn collect(&self, ctx: Context, mut items: Streaming<Item>) -> Result<Summary, Status> {
        let _alive = self.begin(&ctx, "collect")?;
        let mut summary = Summary {
            is_in_order: true,
            ..Summary::default()
        };
        while let Some(item) = self.take(&mut items).await? {
            match item.plan.as_str() {
                "fail" => return Err(Status::aborted("asked to fail")),
                "panic" => panic!("asked to panic"),
                "end" => return Ok(summary),
                "wait" => std::future::pending().await,
                "drop" => {
                    drop(items);
                    // sleep: what the caller sends meanwhile is dropped.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    return Ok(summary);
                }
                "leave" => {
                    tokio::spawn(self.clone().read_on(items));
                    return Ok(summary);
                }
                _ => {}
            }
            summary.is_in_order &= item.number == summary.messages;
            summary.messages += 1;
            summary.bytes += item.data.len() as u64;
        }
        Ok(summary)
    }

    async fn echo(
        &self,
        ctx: Context,
        items: Streaming<Item>,
    ) -> Result<impl ReplyStream<Item>, Status> {
        let alive = self.begin(&ctx, "echo")?;
        ctx.set_trailer("done", "yes")?;
        let handler = self.clone();
        let state = Some(Echoing::Reads(items, alive));
        Ok(stream::unfold(state, move |state| {
            handler.clone().echo_one(state)
        }))
    }

    async fn repeat(&self, _ctx: Context, request: Item) -> Result<Item, Status> {
        let times = usize::try_from(request.number).unwrap_or(0);
        Ok(Item {
            data: request.data.repeat(times),
            ..request
        })
    }
}

fn items(request: CountRequest, alive: Alive) -> impl Stream<Item = Result<Item, Status>> {
    let CountRequest {
        messages,
        size,
        plan,
        pause_us,
        ..
    } = request;
    let data = vec![7; size as usize];
    let counts = Arc::clone(&alive.0);
    let items = stream::iter(0..messages).map(move |number| {
        counts.made.fetch_add(1, Ordering::SeqCst);
        Ok(Item {
            number,
            data: data.clone(),
            ..Item::default()
        })
    });
    let paused = items.then(move |item| async move {
        if pause_us > 0 {
            let pause = Duration::from_micros(pause_us.into());
            tokio::time::sleep(pause).await; // sleep: the pause that was asked for
        }
        item
    });
    let end = stream::once(async move {
        match plan.as_str() {
            "fail" => Some(Err(Status::aborted("asked to fail"))),
            "panic" => panic!("asked to panic"),
            "wait" => std::future::pending().await,
            _ => None,
        }
    })
    .filter_map(std::future::ready);
    paused.chain(end).map(move |item| {
        let _alive = &alive;
        item
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
