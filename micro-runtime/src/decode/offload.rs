//! Work on large messages of peers, on threads for blocking work: a bounded number at a time.
//!
//! A message of megabytes takes a good part of a second to decode. On a thread of the runtime everything else that it
//! runs would wait for it. As many run at a time as there are processors, which the runtime's threads share with them;
//! what waits for its turn is dropped with its call.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;

use tokio::runtime::{Handle, Id};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::status::Status;
use crate::sync::lock;

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

/// Runs `work` on a thread for blocking work, and returns its result.
///
/// Dropping the future before the turn of `work` drops that; what has begun goes on to its end. A panic is passed on.
///
/// # Errors
///
/// `UNAVAILABLE` if the runtime shuts down meanwhile.
pub(crate) async fn offload<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    if MAY_BLOCK.get() {
        return Ok(work());
    }
    let result = Arc::new(Mutex::new(None));
    let filled = Arc::clone(&result);
    let work = move || {
        let done = work();
        *lock(&filled) = Some(done);
    };
    run(Box::new(work)).await?;
    let done = lock(&result).take();
    done.ok_or_else(|| Status::unavailable("the runtime stops"))
}

async fn run(work: Box<dyn FnOnce() + Send>) -> Result<(), Status> {
    let stops = || Status::unavailable("the runtime stops");
    let turns = turns_of(Handle::current().id());
    let turn = turns.acquire_owned().await.map_err(|_| stops())?;
    let run = move || {
        let _turn = turn;
        on_thread_that_may_block(work);
    };
    let mut running = AbortOnDrop(tokio::task::spawn_blocking(run));
    match (&mut running.0).await {
        Ok(()) => Ok(()),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(error) => Err(stops().with_source(error)),
        },
    }
}

/// Work that is dropped with its call unless it has begun.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

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
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn work_runs_on_another_thread_unless_this_one_may_block() {
        let here = thread::current().id();
        let used = || thread::current().id();
        assert_ne!(offload(used).await.unwrap(), here);
        let inner = tokio::task::spawn_blocking(move || {
            let used = async { offload(used).await.unwrap() };
            let used = on_thread_that_may_block(|| Handle::current().block_on(used));
            used == thread::current().id()
        });
        assert!(inner.await.unwrap());
    }

    #[tokio::test]
    async fn no_more_runs_at_a_time_than_there_are_processors() {
        let max = available_parallelism().map_or(1, usize::from);
        let (begun, begins) = mpsc::channel();
        let mut ends = Vec::new();
        let mut running = Vec::new();
        for number in 0..=max {
            let (end, ended) = mpsc::channel::<()>();
            let begun = begun.clone();
            ends.push(end);
            let work = offload(move || {
                begun.send(number).unwrap();
                let _ = ended.recv();
            });
            running.push(tokio::spawn(work));
        }
        let mut first = tokio::task::spawn_blocking(move || {
            let first: Vec<_> = (0..max).map(|_| begins.recv().unwrap()).collect();
            (first, begins)
        });
        let (first, begins) = (&mut first).await.unwrap();
        assert!(begins.try_recv().is_err());
        drop(ends.swap_remove(first[0]));
        let last = tokio::task::spawn_blocking(move || begins.recv().unwrap());
        assert!(!first.contains(&last.await.unwrap()));
        drop(ends);
        for running in running {
            running.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn what_has_begun_keeps_what_it_holds_after_its_call_was_dropped() {
        let held = Arc::new(());
        let seen = Arc::downgrade(&held);
        let (end, ended) = mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let call = tokio::spawn(offload(move || {
            let _held = held;
            begun.send(()).unwrap();
            let _ = ended.recv();
        }));
        begins.await.unwrap();
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        assert_eq!(seen.strong_count(), 1);
        drop(end);
        while seen.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_panic_is_passed_on() {
        let call = tokio::spawn(offload(|| panic!("malformed")));
        let panic = call.await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref(), Some(&"malformed"));
    }
}
