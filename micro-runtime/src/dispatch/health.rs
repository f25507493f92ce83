//! Health: the checks that a server was given, and what they say. Run when somebody asks, at most
//! once a second.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use crate::discovery::records::CheckOutcome;
use crate::status::Status;
use crate::sync::lock;

/// What is known stays true for so long, however many ask.
const FRESH: Duration = Duration::from_secs(1);
/// A check that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(1);

type BoxCheck = Arc<dyn Fn() -> CheckFuture + Send + Sync>;
type CheckFuture = Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

/// The checks of one server.
#[derive(Clone, Default)]
pub(crate) struct Checks(Vec<Check>);

#[derive(Clone)]
struct Check {
    name: String,
    is_liveness: bool,
    run: BoxCheck,
}

/// How the instances of one server are.
pub(crate) struct Health {
    checks: Checks,
    known: Mutex<Option<LastOutcomes>>,
    running: tokio::sync::Mutex<()>,
    is_stopping: AtomicBool,
}

#[derive(Clone)]
struct LastOutcomes {
    at: Instant,
    outcomes: Arc<[CheckOutcome]>,
}

/// How an instance is, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) is_live: bool,
    pub(crate) is_ready: bool,
    pub(crate) outcomes: Arc<[CheckOutcome]>,
}

impl Checks {
    pub(crate) fn add<F, Fut>(&mut self, name: String, is_liveness: bool, check: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Status>> + Send + 'static,
    {
        self.0.push(Check {
            name,
            is_liveness,
            run: Arc::new(move || Box::pin(check())),
        });
    }
}

impl Check {
    async fn outcome(&self) -> CheckOutcome {
        let guarded = AssertUnwindSafe(async { (self.run)().await }).catch_unwind();
        let error = match tokio::time::timeout(LIMIT, guarded).await {
            Ok(Ok(Ok(()))) => String::new(),
            Ok(Ok(Err(status))) => status.to_string(),
            Ok(Err(_)) => "the check panicked".to_owned(),
            Err(_) => format!("the check did not end within {LIMIT:?}"),
        };
        CheckOutcome {
            name: self.name.clone(),
            is_liveness: self.is_liveness,
            error,
        }
    }
}

impl Health {
    pub(crate) fn new(checks: Checks) -> Self {
        Self {
            checks,
            known: Mutex::default(),
            running: tokio::sync::Mutex::default(),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Whether nothing has to be waited for to know.
    pub(crate) fn is_plain(&self) -> bool {
        self.checks.0.is_empty()
    }

    /// From now on the instances take no calls.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// What is known without running a check. Nothing known is nothing wrong.
    pub(crate) fn known(&self) -> Report {
        let known = lock(&self.known).clone();
        let outcomes = known.map_or_else(|| Arc::from([]), |known| known.outcomes);
        self.report(outcomes)
    }

    /// Runs the checks, unless that was done just now.
    pub(crate) async fn look(&self) -> Report {
        if let Some(outcomes) = self.fresh() {
            return self.report(outcomes);
        }
        let _running = self.running.lock().await;
        if let Some(outcomes) = self.fresh() {
            return self.report(outcomes);
        }
        let outcomes = join_all(self.checks.0.iter().map(Check::outcome)).await;
        for outcome in outcomes.iter().filter(|outcome| !outcome.error.is_empty()) {
            tracing::warn!(
                check = outcome.name,
                error = outcome.error,
                "a check failed"
            );
        }
        let outcomes: Arc<[CheckOutcome]> = outcomes.into();
        *lock(&self.known) = Some(LastOutcomes {
            at: Instant::now(),
            outcomes: Arc::clone(&outcomes),
        });
        self.report(outcomes)
    }

    fn fresh(&self) -> Option<Arc<[CheckOutcome]>> {
        if self.is_plain() {
            return Some(Arc::from([]));
        }
        let known = lock(&self.known).clone()?;
        (known.at.elapsed() < FRESH).then_some(known.outcomes)
    }

    fn report(&self, outcomes: Arc<[CheckOutcome]>) -> Report {
        let failed = |outcome: &&CheckOutcome| !outcome.error.is_empty();
        let is_live = !outcomes.iter().any(|o| failed(&o) && o.is_liveness);
        let has_failed = outcomes.iter().any(|outcome| failed(&outcome));
        Report {
            is_live,
            is_ready: !has_failed && !self.is_stopping.load(Ordering::Relaxed),
            outcomes,
        }
    }
}

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub(crate) service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    pub(crate) status: i32,
}

impl HealthCheckResponse {
    pub(crate) const SERVING: i32 = 1;
    const NOT_SERVING: i32 = 2;

    pub(crate) fn new(is_serving: bool) -> Self {
        Self {
            status: if is_serving {
                Self::SERVING
            } else {
                Self::NOT_SERVING
            },
        }
    }
}

impl HealthCheckRequest {
    /// What is asked: nothing or the service's name asks for readiness. `None` if nobody knows.
    pub(crate) fn answer(&self, full_name: &str, report: &Report) -> Option<HealthCheckResponse> {
        let is_serving = match self.service.as_str() {
            "" | "readiness" => report.is_ready,
            "liveness" => report.is_live,
            name if name == full_name => report.is_ready,
            _ => return None,
        };
        Some(HealthCheckResponse::new(is_serving))
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|check| &check.name);
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn checks() -> Checks {
        let mut checks = Checks::default();
        checks.add("database".into(), false, || async {
            Err(Status::unavailable("no route"))
        });
        checks.add("loop".into(), true, || async { Ok(()) });
        checks
    }

    #[tokio::test]
    async fn a_failed_readiness_check_leaves_the_instance_alive() {
        let health = Health::new(checks());
        assert!(health.known().is_ready, "nothing is known yet");
        let report = health.look().await;
        assert!(report.is_live && !report.is_ready);
        assert!(report.outcomes[0].error.contains("no route"));
        assert_eq!(health.known(), report);
    }

    #[tokio::test]
    async fn who_stops_is_not_ready() {
        let health = Health::new(Checks::default());
        assert!(health.look().await.is_ready);
        health.stop();
        assert!(!health.look().await.is_ready);
        assert!(health.look().await.is_live);
    }

    #[tokio::test]
    async fn many_who_ask_run_the_checks_once() {
        let runs = Arc::new(AtomicUsize::new(0));
        let mut checks = Checks::default();
        let counted = Arc::clone(&runs);
        checks.add("slow".into(), false, move || {
            let runs = Arc::clone(&counted);
            async move {
                runs.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok(())
            }
        });
        let health = Health::new(checks);
        let all = join_all((0..50).map(|_| health.look())).await;
        assert!(all.iter().all(|report| report.is_ready));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_check_that_hangs_or_panics_has_failed() {
        let mut checks = Checks::default();
        checks.add("hangs".into(), true, std::future::pending);
        checks.add("panics".into(), true, || async { panic!("no") });
        let report = Health::new(checks).look().await;
        assert!(report.outcomes[0].error.contains("within 1s"));
        assert!(report.outcomes[1].error.contains("panicked"));
        assert!(!report.is_live);
    }

    #[test]
    fn liveness_and_readiness_are_asked_for_by_name() {
        let report = Report {
            is_live: true,
            is_ready: false,
            outcomes: Arc::from([]),
        };
        let ask = |service: &str| {
            let request = HealthCheckRequest {
                service: service.into(),
            };
            let answer = request.answer("a.B", &report);
            answer.map(|answer| answer.status)
        };
        assert_eq!(ask(""), Some(2));
        assert_eq!(ask("a.B"), Some(2));
        assert_eq!(ask("liveness"), Some(1));
        assert_eq!(ask("a.C"), None);
    }
}
