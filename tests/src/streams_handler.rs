//! The handler behind `streams.v1.Streams`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use micro_runtime::{Context, ReplyStream, Status, Streaming, service};
use tokio::time::Instant;

use crate::streams::{CountRequest, Item, Streams, Summary};

/// Number of items that `Echo` sends after it has dropped the caller's stream.
pub const ITEMS_AFTER_DROP: u64 = 1_000;

/// Handler that does what the `plan` of a message asks for, and counts items and live calls.
#[derive(Clone, Debug, Default)]
pub struct StreamsHandler(Arc<State>);

#[derive(Debug, Default)]
struct State {
    live_calls: AtomicUsize,
    items_made: AtomicU64,
    items_taken: AtomicU64,
    watched_ends: Mutex<Vec<Instant>>,
    request_ends: Mutex<Vec<Option<Status>>>,
}

/// Guard of one live call: held by its handler, then by the stream that the handler returned.
#[derive(Debug)]
struct LiveCall(Arc<State>);

/// State of one `Echo` call between two items.
enum EchoState {
    Reading(Streaming<Item>, LiveCall),
    /// The caller's stream has been dropped; this many items remain to be sent.
    Counting(u64, LiveCall),
}

impl LiveCall {
    fn new(state: &Arc<State>) -> Self {
        state.live_calls.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(state))
    }
}

impl Drop for LiveCall {
    fn drop(&mut self) {
        self.0.live_calls.fetch_sub(1, Ordering::SeqCst);
    }
}

impl StreamsHandler {
    /// Number of calls whose handler is running, or whose returned stream has not been dropped.
    #[must_use]
    pub fn live_calls(&self) -> usize {
        self.0.live_calls.load(Ordering::SeqCst)
    }

    /// Number of items that `Count` calls have produced.
    #[must_use]
    pub fn items_made(&self) -> u64 {
        self.0.items_made.load(Ordering::SeqCst)
    }

    /// Number of items that handlers have read from their callers' streams.
    #[must_use]
    pub fn items_taken(&self) -> u64 {
        self.0.items_taken.load(Ordering::SeqCst)
    }

    /// Times at which calls with the header `watch` ended, in that order.
    #[must_use]
    pub fn watched_ends(&self) -> Vec<Instant> {
        lock(&self.0.watched_ends).clone()
    }

    /// Ends of callers' streams that failed, or that were read after the reply (plan `leave`).
    ///
    /// `None` is an end without an error.
    #[must_use]
    pub fn request_ends(&self) -> Vec<Option<Status>> {
        lock(&self.0.request_ends).clone()
    }

    /// Waits until no call is live.
    pub async fn wait_until_idle(&self) {
        while self.live_calls() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await; // sleep: polling interval
        }
    }

    fn begin(&self, ctx: &Context, kind: &str) -> Result<LiveCall, Status> {
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
            let (state, ctx) = (Arc::clone(&self.0), ctx.clone());
            tokio::spawn(async move {
                ctx.ended().await;
                lock(&state.watched_ends).push(Instant::now());
            });
        }
        Ok(LiveCall::new(&self.0))
    }

    /// Reads the next item of a caller's stream, and records a failure of the stream.
    async fn take(&self, items: &mut Streaming<Item>) -> Result<Option<Item>, Status> {
        match items.message().await {
            Ok(item) => {
                let taken = u64::from(item.is_some());
                self.0.items_taken.fetch_add(taken, Ordering::SeqCst);
                Ok(item)
            }
            Err(status) => {
                lock(&self.0.request_ends).push(Some(status.clone()));
                Err(status)
            }
        }
    }

    /// Reads a caller's stream to its end after the handler has replied.
    async fn read_after_reply(self, mut items: Streaming<Item>) {
        loop {
            match self.take(&mut items).await {
                Ok(Some(_)) => {}
                Ok(None) => return lock(&self.0.request_ends).push(None),
                Err(_) => return,
            }
        }
    }

    async fn echo_next(self, state: Option<EchoState>) -> Option<EchoStep> {
        let (mut items, live) = match state? {
            EchoState::Counting(0, _) => return None,
            EchoState::Counting(left, live) => {
                let item = Item {
                    number: ITEMS_AFTER_DROP - left,
                    ..Item::default()
                };
                return Some((Ok(item), Some(EchoState::Counting(left - 1, live))));
            }
            EchoState::Reading(items, live) => (items, live),
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
            "drop" => return Some((Ok(item), Some(EchoState::Counting(ITEMS_AFTER_DROP, live)))),
            _ => {}
        }
        Some((Ok(item), Some(EchoState::Reading(items, live))))
    }
}

/// Item or error that `Echo` sends next, and its state after that; `None` ends the stream.
type EchoStep = (Result<Item, Status>, Option<EchoState>);

#[service]
impl Streams for StreamsHandler {
    async fn count(
        &self,
        ctx: Context,
        request: CountRequest,
    ) -> Result<impl ReplyStream<Item>, Status> {
        let live = self.begin(&ctx, "count")?;
        ctx.set_trailer("sent", request.messages.to_string())?;
        match request.plan.as_str() {
            "refuse" => return Err(Status::failed_precondition("refused")),
            "never" => std::future::pending().await,
            "panic-first" => panic!("asked to panic"),
            _ => {}
        }
        Ok(count_items(request, live))
    }

    async fn collect(&self, ctx: Context, mut items: Streaming<Item>) -> Result<Summary, Status> {
        let _live = self.begin(&ctx, "collect")?;
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
                    // sleep: the caller sends in this time, and its items are dropped.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    return Ok(summary);
                }
                "leave" => {
                    tokio::spawn(self.clone().read_after_reply(items));
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
        let live = self.begin(&ctx, "echo")?;
        ctx.set_trailer("done", "yes")?;
        let handler = self.clone();
        let state = Some(EchoState::Reading(items, live));
        Ok(stream::unfold(state, move |state| {
            handler.clone().echo_next(state)
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

/// Stream of a `Count` call; it holds the guard of the call until it is dropped.
fn count_items(request: CountRequest, live: LiveCall) -> impl Stream<Item = Result<Item, Status>> {
    let CountRequest {
        messages,
        size,
        plan,
        pause_us,
        ..
    } = request;
    let data = vec![7; size as usize];
    let state = Arc::clone(&live.0);
    let items = stream::iter(0..messages).map(move |number| {
        state.items_made.fetch_add(1, Ordering::SeqCst);
        Ok(Item {
            number,
            data: data.clone(),
            ..Item::default()
        })
    });
    let paused = items.then(move |item| async move {
        if pause_us > 0 {
            let pause = Duration::from_micros(pause_us.into());
            tokio::time::sleep(pause).await; // sleep: the pause that the caller asks for
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
        let _live = &live;
        item
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
