//! Puts load on a stack and counts what comes back within a window of time.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::Result;

/// So many of what takes no time worth noting.
const SEEN_AT_ONCE: u64 = 32;

/// What counts begins after a warm-up.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
}

/// What ended within a window, and how long each took since the one before.
pub(crate) struct Count {
    window: Window,
    last: Instant,
    /// Everything, the warm-up as well: what processor time is divided by.
    all: u64,
    counted: u64,
    /// Those since the clock was read.
    unseen: u64,
    /// Of those that are counted, where times do not count.
    span: Duration,
    /// In nanoseconds, of which four seconds fit: nothing here waits longer.
    times: Option<Vec<u32>>,
    elapsed: Duration,
}

impl Window {
    /// A window of so long, with a fourth of it before as warm-up.
    pub(crate) fn of(length: Duration) -> Self {
        let begin = Instant::now() + length / 4;
        Self {
            begin,
            end: begin + length,
        }
    }
}

impl Count {
    pub(crate) fn new(window: Window) -> Self {
        Self {
            window,
            last: Instant::now(),
            all: 0,
            counted: 0,
            unseen: 0,
            span: Duration::ZERO,
            times: None,
            elapsed: window.end - window.begin,
        }
    }

    /// The same, and remembers how long each took.
    pub(crate) fn with_times(window: Window) -> Self {
        Self {
            times: Some(Vec::new()),
            ..Self::new(window)
        }
    }

    /// What was counted elsewhere.
    pub(crate) fn of(window: Window, counted: u64, elapsed: Duration) -> Self {
        Self {
            all: counted,
            counted,
            elapsed,
            ..Self::new(window)
        }
    }

    /// Says how many there were with those outside of the window.
    pub(crate) fn with_all(self, all: u64) -> Self {
        Self { all, ..self }
    }

    /// Notes that one has ended now; false once the window is over. Where times do not count the
    /// clock is read now and then only: it takes longer than a small message of a stream.
    pub(crate) fn one(&mut self) -> bool {
        self.all += 1;
        self.unseen += 1;
        if self.times.is_none() && self.unseen < SEEN_AT_ONCE {
            return true;
        }
        let seen = std::mem::take(&mut self.unseen);
        let now = Instant::now();
        let is_open = now < self.window.end;
        if is_open && self.last >= self.window.begin {
            self.counted += seen;
            self.span += now - self.last;
            if let Some(times) = &mut self.times {
                times.push(u32::try_from((now - self.last).as_nanos()).unwrap_or(u32::MAX));
            }
        }
        self.last = now;
        is_open
    }

    /// Adds what another counted at the same time.
    fn add(&mut self, other: Self) {
        self.all += other.all;
        self.counted += other.counted;
        if let (Some(times), Some(more)) = (&mut self.times, other.times) {
            times.extend(more);
        }
    }

    pub(crate) fn all(&self) -> u64 {
        self.all
    }

    /// Ends a second.
    pub(crate) fn rate(&self) -> f64 {
        let took = match self.span {
            Duration::ZERO => self.elapsed,
            span => span,
        };
        self.counted as f64 / took.as_secs_f64()
    }

    /// The times that these parts of them did not exceed, in microseconds.
    pub(crate) fn quantiles<const N: usize>(&mut self, parts: [f64; N]) -> Option<[f64; N]> {
        let times = self.times.as_mut().filter(|times| !times.is_empty())?;
        times.sort_unstable();
        let last = times.len() - 1;
        Some(parts.map(|part| f64::from(times[(last as f64 * part).round() as usize]) / 1000.0))
    }
}

/// Keeps so many calls in flight through the window.
pub(crate) async fn keep_in_flight<F>(
    in_flight: usize,
    window: Window,
    call: impl Fn() -> F + Clone + Send + 'static,
) -> Result<Count>
where
    F: Future<Output = Result<()>> + Send,
{
    let mut callers = Vec::new();
    for _ in 0..in_flight {
        let call = call.clone();
        callers.push(tokio::spawn(async move {
            let mut count = Count::with_times(window);
            loop {
                call().await?;
                if !count.one() {
                    return Ok::<_, crate::Failure>(count);
                }
            }
        }));
    }
    let mut sum = Count::with_times(window);
    for caller in callers {
        sum.add(caller.await??);
    }
    Ok(sum)
}
