//! Tests of `LogLimit`: when lines are written, and that no count is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::advance;

use super::*;

/// Counts of the lines that were written, with the number of the time that each has the fields of.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(u32, u64)>>>);

impl Lines {
    fn write(&self, limit: &LogLimit, number: u32) {
        let lines = self.clone();
        limit.write(move |count| lock(&lines.0).push((number, count)));
    }

    fn write_all(&self, limit: &LogLimit, numbers: std::ops::Range<u32>) {
        numbers.for_each(|number| self.write(limit, number));
    }

    fn taken(&self) -> Vec<(u32, u64)> {
        std::mem::take(&mut lock(&self.0))
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_line_is_written_at_once_and_then_one_each_interval() {
    let (limit, lines) = (LogLimit::default(), Lines::default());
    lines.write_all(&limit, 0..50_000);
    assert_eq!(lines.taken(), [(0, 1)]);
    advance(LOG_INTERVAL).await;
    lines.write(&limit, 50_000);
    assert_eq!(lines.taken(), [(50_000, 50_000)]);
    lines.write(&limit, 50_001);
    assert_eq!(lines.taken(), []);
}

#[tokio::test(start_paused = true)]
async fn the_last_count_is_written_though_nothing_more_happens() {
    let (limit, other, lines) = (LogLimit::default(), LogLimit::default(), Lines::default());
    let began = Instant::now();
    lines.write_all(&limit, 0..100);
    tokio::time::sleep(Duration::from_secs(10)).await;
    lines.write_all(&other, 200..203);
    assert_eq!(lines.taken(), [(0, 1), (200, 1)]);
    while lock(&lines.0).len() < 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(lines.taken(), [(99, 99), (202, 2)]);
    let waited = began.elapsed();
    let expected = Duration::from_secs(10) + LOG_INTERVAL;
    assert!((expected..expected + Duration::from_secs(2)).contains(&waited));
    // Nothing is held back any more: the next time is held back and written as the first were.
    lines.write_all(&limit, 300..302);
    tokio::time::sleep(LOG_INTERVAL * 2).await;
    assert_eq!(lines.taken().iter().map(|line| line.1).sum::<u64>(), 2);
    lines.write(&limit, 400);
    assert_eq!(lines.taken(), [(400, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_line_each_interval_has_all_counts_of_a_load_that_goes_on() {
    let (limit, lines) = (LogLimit::default(), Lines::default());
    for number in 0..600 {
        lines.write(&limit, number);
        advance(Duration::from_millis(100)).await;
    }
    drop(limit);
    let lines = lines.taken();
    assert!(lines.len() <= 4, "{lines:?}");
    assert_eq!(lines.iter().map(|line| line.1).sum::<u64>(), 600);
}

#[test]
fn a_limit_that_is_dropped_writes_what_it_held_back() {
    let lines = Lines::default();
    let limit = LogLimit::default();
    // Without a runtime, too.
    lines.write_all(&limit, 0..3);
    runtime().block_on(async { lines.write(&limit, 3) });
    lines.taken();
    drop(limit);
    assert_eq!(lines.taken(), []);
    runtime().block_on(async {
        let limit = LogLimit::default();
        lines.write_all(&limit, 0..7);
        drop(limit);
    });
    assert_eq!(lines.taken(), [(0, 1), (6, 6)]);
}

#[test]
fn the_end_of_a_runtime_writes_what_was_held_back_in_it() {
    let (limit, lines) = (LogLimit::default(), Lines::default());
    let other = runtime();
    let _entered = other.enter();
    lines.write_all(&limit, 0..7);
    drop(_entered);
    assert_eq!(lines.taken(), [(0, 1)]);
    drop(other);
    assert_eq!(lines.taken(), [(6, 6)]);
    // Another runtime goes on with it.
    let next = runtime();
    next.block_on(async { lines.write_all(&limit, 7..9) });
    assert_eq!(lines.taken(), []);
    drop(next);
    assert_eq!(lines.taken(), [(8, 2)]);
}

#[tokio::test(start_paused = true)]
async fn many_times_at_once_are_one_line() {
    let (limit, lines) = (LogLimit::default(), Lines::default());
    for number in 0..3 {
        let lines = lines.clone();
        limit.write_many(10, move |count| lock(&lines.0).push((number, count)));
    }
    drop(limit);
    assert_eq!(lines.taken(), [(0, 10), (2, 20)]);
}
