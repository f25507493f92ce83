//! Puts load on a stack and counts the operations that end within a window of time.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::failure::Result;

/// Number of operations between two readings of the clock, where latencies are not recorded.
const OPERATIONS_PER_READING: u64 = 32;

/// The span of time in which operations are counted; it starts after a warm-up.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
}

/// Counts the operations of one caller, and records how long each took since the one before.
pub(crate) struct LoadCounter {
    window: Window,
    last: Instant,
    /// Operations with those of the warm-up, by which processor time is divided.
    total: u64,
    /// Operations within the window.
    counted: u64,
    /// Operations since the clock was read.
    since_reading: u64,
    /// Time that the counted operations took, where latencies are not recorded.
    span: Duration,
    /// In nanoseconds. `u32` holds four seconds, and no operation here takes longer.
    latencies: Option<Vec<u32>>,
    elapsed: Duration,
}

impl Window {
    /// Returns a window of that length, which starts after a warm-up of a fourth of it.
    pub(crate) fn of(length: Duration) -> Self {
        let begin = Instant::now() + length / 4;
        Self {
            begin,
            end: begin + length,
        }
    }
}

impl LoadCounter {
    pub(crate) fn new(window: Window) -> Self {
        Self {
            window,
            last: Instant::now(),
            total: 0,
            counted: 0,
            since_reading: 0,
            span: Duration::ZERO,
            latencies: None,
            elapsed: window.end - window.begin,
        }
    }

    /// Returns a counter that also records latencies.
    pub(crate) fn with_latencies(window: Window) -> Self {
        Self {
            latencies: Some(Vec::new()),
            ..Self::new(window)
        }
    }

    /// Returns a counter of operations that were counted elsewhere.
    pub(crate) fn of(window: Window, counted: u64, elapsed: Duration) -> Self {
        Self {
            total: counted,
            counted,
            elapsed,
            ..Self::new(window)
        }
    }

    /// Sets the number of operations with those outside of the window.
    pub(crate) fn with_total(self, total: u64) -> Self {
        Self { total, ..self }
    }

    /// Records the end of an operation and returns false once the window is over. Without latencies the
    /// clock is read for every 32nd operation only: reading it takes longer than a small message.
    pub(crate) fn record(&mut self) -> bool {
        self.total += 1;
        self.since_reading += 1;
        if self.latencies.is_none() && self.since_reading < OPERATIONS_PER_READING {
            return true;
        }
        let ended = std::mem::take(&mut self.since_reading);
        let now = Instant::now();
        let is_open = now < self.window.end;
        if is_open && self.last >= self.window.begin {
            self.counted += ended;
            self.span += now - self.last;
            if let Some(latencies) = &mut self.latencies {
                latencies.push(u32::try_from((now - self.last).as_nanos()).unwrap_or(u32::MAX));
            }
        }
        self.last = now;
        is_open
    }

    /// Adds the operations of another caller at the same time.
    fn merge(&mut self, other: Self) {
        self.total += other.total;
        self.counted += other.counted;
        if let (Some(latencies), Some(more)) = (&mut self.latencies, other.latencies) {
            latencies.extend(more);
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Returns the counted operations per second.
    pub(crate) fn rate(&self) -> f64 {
        let elapsed = match self.span {
            Duration::ZERO => self.elapsed,
            span => span,
        };
        self.counted as f64 / elapsed.as_secs_f64()
    }

    /// Returns quantiles of the latencies, in microseconds.
    pub(crate) fn quantiles<const N: usize>(&mut self, fractions: [f64; N]) -> Option<[f64; N]> {
        let latencies = self.latencies.as_mut().filter(|some| !some.is_empty())?;
        latencies.sort_unstable();
        let last = latencies.len() - 1;
        let index = |fraction: f64| (last as f64 * fraction).round() as usize;
        Some(fractions.map(|fraction| f64::from(latencies[index(fraction)]) / 1000.0))
    }
}

/// Keeps `in_flight` calls in flight until the window is over.
pub(crate) async fn keep_in_flight<F>(
    in_flight: usize,
    window: Window,
    call: impl Fn() -> F + Clone + Send + 'static,
) -> Result<LoadCounter>
where
    F: Future<Output = Result<()>> + Send,
{
    let mut callers = Vec::new();
    for _ in 0..in_flight {
        let call = call.clone();
        callers.push(tokio::spawn(async move {
            let mut counter = LoadCounter::with_latencies(window);
            loop {
                call().await?;
                if !counter.record() {
                    return Ok::<_, crate::failure::Failure>(counter);
                }
            }
        }));
    }
    let mut sum = LoadCounter::with_latencies(window);
    for caller in callers {
        sum.merge(caller.await??);
    }
    Ok(sum)
}
