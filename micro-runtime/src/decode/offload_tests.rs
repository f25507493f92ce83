//! Tests of `offload`: where work runs, how much at a time, and what it keeps.

use std::sync::mpsc;
use std::thread;

use super::*;

#[tokio::test]
async fn work_runs_on_another_thread_unless_this_one_may_block() {
    let here = thread::current().id();
    let used = |_| thread::current().id();
    assert_ne!(offload(Bytes::new(), used).await.unwrap(), here);
    let inner = tokio::task::spawn_blocking(move || {
        let used = async { offload(Bytes::new(), used).await.unwrap() };
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
        let work = offload(Bytes::new(), move |_| {
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
    let call = tokio::spawn(offload(Bytes::new(), move |_| {
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

/// A slice of a buffer, whose owner shows whether it is still kept.
#[tokio::test]
async fn a_message_that_waits_for_its_turn_does_not_keep_the_buffer_that_it_was_read_into() {
    struct ReadBuffer {
        _kept: Arc<()>,
    }

    impl AsRef<[u8]> for ReadBuffer {
        fn as_ref(&self) -> &[u8] {
            b"message and what was read with it"
        }
    }

    let turns = turns_of(Handle::current().id());
    let count = u32::try_from(turns.available_permits()).unwrap();
    let taken = turns.acquire_many_owned(count).await.unwrap();
    let kept = Arc::new(());
    let message = Bytes::from_owner(ReadBuffer {
        _kept: Arc::clone(&kept),
    })
    .slice(..7);
    let mut waiting = std::pin::pin!(offload(message, |message| message));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    assert_eq!(Arc::strong_count(&kept), 1);
    drop(taken);
    assert_eq!(waiting.await.unwrap(), "message");
}

#[tokio::test]
async fn a_panic_is_passed_on() {
    let call = tokio::spawn(offload(Bytes::new(), |_| panic!("malformed")));
    let panic = call.await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"malformed"));
}

/// A handler that blocks the only thread waits for this very work.
#[test]
fn work_for_which_no_thread_is_free_runs_where_it_waits() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().max_blocking_threads(1).build();
    runtime.unwrap().block_on(async {
        let here = thread::current().id();
        let (done, is_done) = mpsc::channel();
        let blocking = tokio::task::spawn_blocking(move || is_done.recv().unwrap());
        let used = offload(Bytes::new(), |_| thread::current().id())
            .await
            .unwrap();
        assert_eq!(used, here);
        // The thread does not run it later either.
        done.send(()).unwrap();
        blocking.await.unwrap();
        assert_ne!(
            offload(Bytes::new(), |_| thread::current().id())
                .await
                .unwrap(),
            here
        );
    });
}
