//! Handlers of `streams.v1.Streams` that show how they are run: on which thread, in which task, within
//! which span, and what becomes of a destructor that panics.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use micro_runtime::{Context, ReplyStream, Status, Streaming, service};
use tokio::task::Id;
use tracing::Span;

use crate::streams::{CountRequest, Item, Streams, Summary};

/// Number of handlers that have to block their threads at a time, for each of them to go on. More than
/// the runtimes of the tests have worker threads.
pub const BLOCKED_HANDLERS: usize = 4;

/// Longest time that a handler blocks its thread.
const MAX_BLOCKED: Duration = Duration::from_secs(20);

/// Handler that does what the `plan` of a request asks for:
///
/// - `block` blocks the thread until [`BLOCKED_HANDLERS`] handlers do;
/// - `wait` never ends, and records its span when it is dropped;
/// - `panic-on-drop` never ends, and panics when it is dropped;
/// - `panic-twice` panics with a payload that panics when it is dropped.
#[derive(Clone, Debug, Default)]
pub struct ExecutionProbe(Arc<State>);

#[derive(Debug, Default)]
struct State {
    blocked: Mutex<usize>,
    changed: Condvar,
    spans: Mutex<Vec<Option<&'static str>>>,
    tasks: Mutex<Vec<Id>>,
    drops: AtomicUsize,
}

/// Panics when it is dropped, also as the payload of another panic. Its probe counts it.
#[derive(Debug)]
pub struct PanicsOnDrop(ExecutionProbe);

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        self.0.0.drops.fetch_add(1, Ordering::SeqCst);
        // A second panic would end the process.
        if !std::thread::panicking() {
            panic!("a destructor that panics");
        }
    }
}

/// Records the span in which it is dropped.
#[derive(Debug)]
struct RecordsSpanOnDrop(ExecutionProbe);

impl Drop for RecordsSpanOnDrop {
    fn drop(&mut self) {
        self.0.record_span();
    }
}

impl ExecutionProbe {
    /// Takes the names of the spans in which handlers and their streams were polled so far.
    #[must_use]
    pub fn take_spans(&self) -> Vec<Option<&'static str>> {
        std::mem::take(&mut lock(&self.0.spans))
    }

    /// Number of spans that [`take_spans`](Self::take_spans) would take.
    #[must_use]
    pub fn spans(&self) -> usize {
        lock(&self.0.spans).len()
    }

    /// Records the span of the caller.
    pub fn record_span(&self) {
        let name = Span::current().metadata().map(tracing::Metadata::name);
        lock(&self.0.spans).push(name);
    }

    /// Takes the ids of the tasks in which handlers were polled so far.
    ///
    /// A handler in place has the task of the loop that reads its subscription.
    #[must_use]
    pub fn take_tasks(&self) -> Vec<Id> {
        std::mem::take(&mut lock(&self.0.tasks))
    }

    /// Records the task of the caller, if it is one.
    pub fn record_task(&self) {
        lock(&self.0.tasks).extend(tokio::task::try_id());
    }

    /// Makes a value that panics when it is dropped.
    #[must_use]
    pub fn panics_on_drop(&self) -> PanicsOnDrop {
        PanicsOnDrop(self.clone())
    }

    /// Number of values of [`panics_on_drop`](Self::panics_on_drop) that were dropped.
    #[must_use]
    pub fn drops(&self) -> usize {
        self.0.drops.load(Ordering::SeqCst)
    }

    /// Records its span, and again when it is dropped. Never ends.
    pub async fn wait(&self) -> Result<(), Status> {
        self.record_span();
        let _records = RecordsSpanOnDrop(self.clone());
        std::future::pending().await
    }

    fn block(&self) -> Result<(), Status> {
        let mut blocked = lock(&self.0.blocked);
        *blocked += 1;
        let target = blocked.next_multiple_of(BLOCKED_HANDLERS);
        self.0.changed.notify_all();
        let waited = self
            .0
            .changed
            .wait_timeout_while(blocked, MAX_BLOCKED, |blocked| *blocked < target)
            .unwrap_or_else(PoisonError::into_inner);
        match waited.1.timed_out() {
            true => Err(Status::aborted("the other handlers do not run")),
            false => Ok(()),
        }
    }

    async fn carry_out(&self, plan: &str) -> Result<(), Status> {
        self.record_task();
        if plan == "wait" {
            return self.wait().await;
        }
        self.record_span();
        match plan {
            "block" => self.block(),
            "panic-twice" => std::panic::panic_any(self.panics_on_drop()),
            "panic-on-drop" => {
                let _panics = self.panics_on_drop();
                std::future::pending().await
            }
            _ => Ok(()),
        }
    }
}

#[service]
impl Streams for ExecutionProbe {
    async fn count(
        &self,
        _ctx: Context,
        request: CountRequest,
    ) -> Result<impl ReplyStream<Item>, Status> {
        let panics = (request.plan == "panic-on-drop").then(|| self.panics_on_drop());
        if panics.is_none() {
            self.carry_out(&request.plan).await?;
        }
        let probe = self.clone();
        let items = stream::once(async move {
            probe.record_span();
            match panics {
                Some(_panics) => std::future::pending().await,
                None => Ok(Item::default()),
            }
        });
        Ok(items.boxed())
    }

    // Never ends with `panic-on-drop`: tokio cannot end a thread.
    #[rpc(blocking)]
    async fn collect(&self, _ctx: Context, mut items: Streaming<Item>) -> Result<Summary, Status> {
        while let Some(item) = items.message().await? {
            self.carry_out(&item.plan).await?;
        }
        Ok(Summary::default())
    }

    async fn echo(
        &self,
        _ctx: Context,
        items: Streaming<Item>,
    ) -> Result<impl ReplyStream<Item>, Status> {
        self.record_span();
        Ok(items)
    }

    async fn repeat(&self, _ctx: Context, item: Item) -> Result<Item, Status> {
        self.carry_out(&item.plan).await?;
        Ok(item)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
