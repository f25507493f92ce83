//! `Health`: whether the instances of one server are live and ready.
//!
//! | | live | ready |
//! |---|---|---|
//! | means | the process works | the process can take calls |
//! | a readiness check fails | yes | no |
//! | a liveness check fails | no | no |
//! | a connection of its bus is lost | yes | no |
//! | the server stops | yes | no |
//! | for the orchestrator | replace it if not | send it no new clients if not |
//!
//! All instances of a server share one health: what a check looks at, a database or a cache, belongs to
//! the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::bus::Connections;
use crate::discovery::CheckOutcome;
use crate::dispatch::health_check::{HealthCheck, HealthChecks};
use crate::log_limit::LogLimit;
use crate::sync::lock;

/// Age up to which the outcomes of the checks are reported again. It bounds the load on a database that a
/// check queries, however many peers read the health and however often.
const MAX_OUTCOME_AGE: Duration = Duration::from_secs(1);

/// Health of the instances of one server.
///
/// Checks run on request only, all at the same time, and at most once in [`MAX_OUTCOME_AGE`]. A failed
/// check refuses no call: acting on it is left to the orchestrator that reads the report.
pub(crate) struct Health {
    checks: HealthChecks,
    /// One for each check.
    logs: Vec<LogLimit>,
    /// Those of the server's bus: a handler may need any of them.
    connections: Connections,
    last: Mutex<Option<LastOutcomes>>,
    /// Held while the checks run: requests that come meanwhile wait for the same outcomes.
    running: tokio::sync::Mutex<()>,
    is_stopping: AtomicBool,
}

#[derive(Clone)]
struct LastOutcomes {
    at: Instant,
    outcomes: Arc<[CheckOutcome]>,
}

/// Health of an instance at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HealthReport {
    /// Whether every liveness check passed.
    pub(super) is_live: bool,
    /// Whether every check passed, every connection to NATS is there, and the server is not stopping.
    pub(super) is_ready: bool,
    pub(super) outcomes: Arc<[CheckOutcome]>,
}

impl Health {
    pub(crate) fn new(checks: HealthChecks, connections: Connections) -> Self {
        Self {
            logs: checks.iter().map(|_| LogLimit::default()).collect(),
            checks,
            connections,
            last: Mutex::default(),
            running: tokio::sync::Mutex::default(),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Returns whether [`report`](Self::report) may have to wait.
    pub(super) fn has_checks(&self) -> bool {
        !self.checks.is_empty()
    }

    /// Reports the instances as not ready from now on.
    pub(super) fn set_stopping(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Returns the report with the outcomes of the last run, however old, without running a check. A
    /// server whose checks never ran is healthy.
    pub(super) fn last_report(&self) -> HealthReport {
        let last = lock(&self.last).clone();
        let outcomes = last.map_or_else(|| Arc::from([]), |last| last.outcomes);
        self.report_of(outcomes)
    }

    /// Returns the report, with outcomes of at most [`MAX_OUTCOME_AGE`]. Runs the checks if there are
    /// none.
    ///
    /// If the future is dropped while it runs the checks, their outcomes are lost and the next request
    /// runs them anew.
    pub(super) async fn report(&self) -> HealthReport {
        if let Some(outcomes) = self.fresh_outcomes() {
            return self.report_of(outcomes);
        }
        let _running = self.running.lock().await;
        // Another request may have run them meanwhile.
        if let Some(outcomes) = self.fresh_outcomes() {
            return self.report_of(outcomes);
        }
        let outcomes = join_all(self.checks.iter().map(HealthCheck::run)).await;
        for (outcome, log) in outcomes.iter().zip(&self.logs) {
            if has_failed(outcome) {
                let CheckOutcome { name, error, .. } = outcome.clone();
                log.write(move |count| {
                    tracing::warn!(check = name, error, count, "a check failed");
                });
            }
        }
        let outcomes: Arc<[CheckOutcome]> = outcomes.into();
        *lock(&self.last) = Some(LastOutcomes {
            at: Instant::now(),
            outcomes: Arc::clone(&outcomes),
        });
        self.report_of(outcomes)
    }

    fn fresh_outcomes(&self) -> Option<Arc<[CheckOutcome]>> {
        if !self.has_checks() {
            return Some(Arc::from([]));
        }
        let last = lock(&self.last).clone()?;
        (last.at.elapsed() < MAX_OUTCOME_AGE).then_some(last.outcomes)
    }

    fn report_of(&self, outcomes: Arc<[CheckOutcome]>) -> HealthReport {
        let is_live = !outcomes.iter().any(|o| has_failed(o) && o.is_liveness);
        let is_ready = !outcomes.iter().any(has_failed)
            && !self.is_stopping.load(Ordering::Relaxed)
            && self.connections.are_connected();
        HealthReport {
            is_live,
            is_ready,
            outcomes,
        }
    }
}

fn has_failed(outcome: &CheckOutcome) -> bool {
    !outcome.error.is_empty()
}
