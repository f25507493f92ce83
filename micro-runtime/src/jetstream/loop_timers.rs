//! `LoopTimers`: the duties of a consumer loop that time brings about.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::jetstream::reconnect_detector::HEALTH_CHECK_INTERVAL;

/// Timers of one consumer loop.
pub(super) struct LoopTimers {
    progress: Interval,
    health_check: Interval,
}

/// A duty that is due.
pub(super) enum Tick {
    /// The progress of deliveries in hand is reported.
    Progress,
    /// Connection and consumer are looked after.
    HealthCheck,
}

impl LoopTimers {
    pub(super) fn new(ack_wait: Duration) -> Self {
        Self {
            // Three ticks per `ack_wait`, see `InFlight::tick`.
            progress: ticks(ack_wait / 3),
            health_check: ticks(HEALTH_CHECK_INTERVAL),
        }
    }

    /// Waits until a duty is due. Cancel safe.
    pub(super) async fn tick(&mut self) -> Tick {
        tokio::select! {
            biased;
            _ = self.progress.tick() => Tick::Progress,
            _ = self.health_check.tick() => Tick::HealthCheck,
        }
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
