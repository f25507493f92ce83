//! Work on large messages of peers, on threads for blocking work: a bounded number at a time.
//!
//! A message of megabytes takes up to a good part of a second to decode. On a thread of the runtime everything else
//! that this thread runs would wait for it: the subscriptions of all services, timers, other handlers.
//!
//! - **Where.** On tokio's threads for blocking work. They are shared with `#[rpc(blocking)]` and the application, so
//!   that no thread is idle for this alone. Under paused time tokio's clock waits for them, as tests expect.
//! - **How much.** As many at a time as there are processors, for each runtime. The system shares the processors
//!   among these threads and those of the runtime; more of them would take longer together, and hold more memory.
//! - **Who waits.** The call, in its own future. Its deadline ends the wait: at a caller by `CallBounds::decode` and
//!   `MessageReader::within_deadline`, at a server with its handler. Work whose turn has not come is dropped with its
//!   call. Work that has begun cannot be ended: it goes on to its end, and keeps until then what it
//!   was given, as the permits of the call and the memory that counts for it.
//! - **Where no thread begins.** Handlers that block may have all of them, and may wait for this very work. What has
//!   not begun after [`MAX_THREAD_WAIT`] runs where it waits.
//! - **Never two threads for one call.** A thread for blocking work that waits for another one could wait for ever, as
//!   their number is limited. So a handler under `#[rpc(blocking)]` decodes on its own thread, and so do the calls that
//!   it makes.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::{Handle, Id};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use crate::status::Status;
use crate::sync::lock;

/// Maximum time that work waits for a thread to begin with it.
const MAX_THREAD_WAIT: Duration = Duration::from_millis(100);

thread_local! {
    /// The thread may be blocked: what it decodes stays on it.
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// The turns of each runtime that has work under way. A runtime of its own each, since one under paused time must not
/// wait for what it does not see.
static TURNS: Mutex<Vec<(Id, Arc<Semaphore>)>> = Mutex::new(Vec::new());

/// Runs `work` on this thread, which may be blocked: what is decoded in it is decoded here.
///
/// A thread for blocking work must not wait for another one, of which none may be left.
pub(crate) fn on_thread_that_may_block<T>(work: impl FnOnce() -> T) -> T {
    let _reset = ResetMark(MAY_BLOCK.replace(true));
    work()
}

struct ResetMark(bool);

impl Drop for ResetMark {
    fn drop(&mut self) {
        MAY_BLOCK.set(self.0);
    }
}

/// Runs `work` on a thread for blocking work with the message that it takes, and returns its result.
///
/// A message that has to wait for its turn is copied before, since it is a slice of what was read from the connection
/// and keeps all of that, up to twice its length and more: many that wait would take far more memory than counts for
/// them.
///
/// The code for all types is in [`run`]: here are only the closure, and the place for its result.
///
/// Dropping the future before the turn of `work` drops that; what has begun goes on to its end. A panic is passed on.
///
/// # Errors
///
/// `UNAVAILABLE` if the runtime shuts down meanwhile.
pub(crate) async fn offload<T: Send + 'static>(
    message: Bytes,
    work: impl FnOnce(Bytes) -> T + Send + 'static,
) -> Result<T, Status> {
    // Outside of a runtime, as in a future that another executor polls, there are no other threads.
    let Ok(runtime) = Handle::try_current() else {
        return Ok(work(message));
    };
    if MAY_BLOCK.get() {
        return Ok(work(message));
    }
    let result = Arc::new(Mutex::new(None));
    let filled = Arc::clone(&result);
    let work = move |message| {
        let done = work(message);
        *lock(&filled) = Some(done);
    };
    run(&runtime, message, Box::new(work)).await?;
    let done = lock(&result).take();
    done.ok_or_else(|| Status::unavailable("the runtime stops"))
}

/// Waits for the turn of `work`, then for its end.
///
/// # Errors
///
/// `UNAVAILABLE` if the runtime shuts down meanwhile.
async fn run(runtime: &Handle, message: Bytes, work: Work) -> Result<(), Status> {
    let turns = turns_of(runtime.id());
    let (turn, message) = match Arc::clone(&turns).try_acquire_owned() {
        Ok(turn) => (turn, message),
        Err(_) => {
            let copy = Bytes::copy_from_slice(&message);
            drop(message);
            let turn = turns.acquire_owned().await;
            let turn = turn.map_err(|_| Status::unavailable("the runtime stops"))?;
            (turn, copy)
        }
    };
    let waiting = Arc::new(Mutex::new(Some(WaitingWork {
        work,
        message,
        _turn: turn,
    })));
    let job = Arc::clone(&waiting);
    let handle = runtime.spawn_blocking(move || {
        let begun = lock(&job).take();
        if let Some(waiting) = begun {
            on_thread_that_may_block(|| waiting.run());
        }
    });
    let mut running = RunningWork { handle, waiting };
    match timeout(MAX_THREAD_WAIT, &mut running.handle).await {
        Ok(ended) => check_end(ended),
        Err(_) => match running.take() {
            Some(waiting) => {
                waiting.run();
                Ok(())
            }
            None => check_end((&mut running.handle).await),
        },
    }
}

/// Passes a panic of the work on.
fn check_end(ended: Result<(), JoinError>) -> Result<(), Status> {
    ended.map_err(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(error) => Status::unavailable("the runtime stops").with_source(error),
    })
}

/// Work on a message.
type Work = Box<dyn FnOnce(Bytes) + Send>;

/// Work that has not begun, its message and its turn.
struct WaitingWork {
    work: Work,
    message: Bytes,
    _turn: OwnedSemaphorePermit,
}

impl WaitingWork {
    fn run(self) {
        (self.work)(self.message);
    }
}

/// Work that is dropped with its call unless it has begun.
struct RunningWork {
    handle: JoinHandle<()>,
    waiting: Arc<Mutex<Option<WaitingWork>>>,
}

impl RunningWork {
    /// Returns the work if it has not begun; then no thread will.
    fn take(&self) -> Option<WaitingWork> {
        lock(&self.waiting).take()
    }
}

impl Drop for RunningWork {
    fn drop(&mut self) {
        drop(self.take());
        self.handle.abort();
    }
}

/// Returns the turns of a runtime, one for each processor.
///
/// They are kept as long as one of them is taken or waited for.
fn turns_of(runtime: Id) -> Arc<Semaphore> {
    let mut all = lock(&TURNS);
    if let Some((_, turns)) = all.iter().find(|(id, _)| *id == runtime) {
        return Arc::clone(turns);
    }
    // Only those of the list itself are left of runtimes without work, which may have ended.
    all.retain(|(_, turns)| Arc::strong_count(turns) > 1);
    let turns = Semaphore::new(available_parallelism().map_or(1, usize::from));
    let turns = Arc::new(turns);
    all.push((runtime, Arc::clone(&turns)));
    turns
}

#[cfg(test)]
#[path = "offload_tests.rs"]
mod tests;
