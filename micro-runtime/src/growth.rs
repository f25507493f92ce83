//! Measures how the work on a peer's input grows with its length: four times the input must not take sixteen times the
//! time.

use std::time::Duration;

use tokio::time::Instant;

/// Maximum factor of the time for four times the input: above that of `n log n`, far below the 16 of a quadratic rule.
const MAX_FACTOR: u32 = 10;
/// Number of measurements. A busy machine delays some of them; what is quadratic is too slow in all.
const MAX_ATTEMPTS: usize = 30;
/// Least time in which work counts as linear whatever its factor: below, the clock and the caches decide.
const NEGLIGIBLE: Duration = Duration::from_micros(50);

/// Checks that the time of `work` on `input(4 * size)` is at most ten times that on `input(size)`.
///
/// # Panics
///
/// If it takes longer in every measurement.
#[track_caller]
pub(crate) fn check_linear<I, O>(
    size: usize,
    input: impl Fn(usize) -> I,
    mut work: impl FnMut(I) -> O,
) {
    let mut time = |size: usize| {
        let input = input(size);
        let begun = Instant::now();
        let output = work(input);
        let time = begun.elapsed();
        drop(output);
        time
    };
    let (mut short, mut long) = (Duration::MAX, Duration::MAX);
    for _ in 0..MAX_ATTEMPTS {
        short = short.min(time(size));
        long = long.min(time(4 * size));
        if long <= short.max(NEGLIGIBLE) * MAX_FACTOR {
            return;
        }
    }
    panic!("{size} take {short:?}, and four times as many {long:?}");
}

#[test]
fn quadratic_work_is_caught() {
    let count = |size: usize, one: usize| (0..size).filter(|other| *other == one).count();
    let work = |size: usize| (0..size).map(|one| count(size, one)).sum::<usize>();
    check_linear(100_000, |size| size, |size| (0..size).sum::<usize>());
    let caught = std::panic::catch_unwind(|| check_linear(1_000, |size| size, work));
    assert!(caught.is_err());
}
