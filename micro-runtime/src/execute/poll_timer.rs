//! `PollTimer`: times the handlers of events that run in place, several with one pair of clock readings.

use std::time::Duration;

use crate::execute::poll_cost::{PollCost, RealInstant};

/// Number of polls that share one pair of clock readings.
const POLLS_PER_MEASUREMENT: u32 = 8;

/// Times the polls of a loop that handles events one after the other.
///
/// Reading the clock costs about as much as a short handler of an event. So polls that follow each
/// other directly are timed together, and [`PollCost`] gets their average. One long poll among short
/// ones counts for an eighth of its length: it makes the subscription unproven from 400 µs on.
///
/// Only polls may take time between [`start`](Self::start) and [`stop`](Self::stop): whatever else the
/// loop waited for would count as the handlers' time.
#[derive(Debug, Default)]
pub(crate) struct PollTimer {
    since: Option<RealInstant>,
    polls: u32,
}

impl PollTimer {
    /// Begins a measurement before a poll, unless one has begun already.
    pub(crate) fn start(&mut self) {
        self.since.get_or_insert_with(RealInstant::now);
    }

    /// Counts a poll that has returned, and records the measurement once it has enough of them.
    pub(crate) fn count(&mut self, cost: &PollCost) {
        self.polls += 1;
        if self.polls >= POLLS_PER_MEASUREMENT {
            self.stop(cost);
        }
    }

    /// Records a measurement that has begun. Must be called before the loop does anything but poll
    /// handlers: before it waits, and before it hands an event to a worker.
    pub(crate) fn stop(&mut self, cost: &PollCost) {
        if let Some(since) = self.since.take() {
            let average: Duration = since.elapsed() / self.polls.max(1);
            cost.record(average);
            self.polls = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_recorded_once_it_has_enough_polls() {
        let cost = PollCost::new();
        let mut timer = PollTimer::default();
        for _ in 1..POLLS_PER_MEASUREMENT {
            timer.start();
            timer.count(&cost);
            assert_eq!(cost.longest(), None);
        }
        timer.start();
        timer.count(&cost);
        assert!(cost.longest().is_some());
    }

    #[test]
    fn a_loop_that_stops_records_the_polls_so_far() {
        let cost = PollCost::new();
        let mut timer = PollTimer::default();
        timer.stop(&cost);
        assert_eq!(cost.longest(), None, "nothing was measured");
        timer.start();
        timer.count(&cost);
        timer.stop(&cost);
        assert!(cost.longest().is_some());
    }
}
