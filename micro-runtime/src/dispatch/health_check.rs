//! `HealthChecks`: the checks that a user has added to a server, and the running of one.
//!
//! A check is the user's code and may do all that a handler may: fail, panic, hang, block. The first three
//! are outcomes of the check. A check that blocks its thread holds up what else runs there, as any task
//! does; `tokio::task::spawn_blocking` is for those.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::discovery::CheckOutcome;
use crate::execute::BoxFuture;
use crate::status::Status;

/// Time after which a check has failed. A check that hangs must be reported as failed, and not leave the
/// request for health without a reply.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Checks of one server, in the order in which they were added, which is that of the outcomes.
#[derive(Clone, Default)]
pub(crate) struct HealthChecks(Vec<HealthCheck>);

/// One check that the user has added.
#[derive(Clone)]
pub(super) struct HealthCheck {
    name: String,
    /// Whether a failure means that the process must be replaced, besides that it takes no calls.
    is_liveness: bool,
    run: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

impl HealthChecks {
    /// Adds a check under a name that the reports show. `check` is called anew for each run.
    pub(crate) fn add<F, Fut>(&mut self, name: String, is_liveness: bool, check: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Status>> + Send + 'static,
    {
        self.0.push(HealthCheck {
            name,
            is_liveness,
            run: Arc::new(move || Box::pin(check())),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &HealthCheck> {
        self.0.iter()
    }
}

impl HealthCheck {
    /// Runs the check. A check that panics, or that takes longer than [`CHECK_TIMEOUT`], has failed; it
    /// is dropped then.
    pub(super) async fn run(&self) -> CheckOutcome {
        let guarded = AssertUnwindSafe(async { (self.run)().await }).catch_unwind();
        let error = match tokio::time::timeout(CHECK_TIMEOUT, guarded).await {
            Ok(Ok(Ok(()))) => String::new(),
            Ok(Ok(Err(status))) => status.to_string(),
            Ok(Err(_)) => "the check panicked".to_owned(),
            Err(_) => format!("the check did not end within {CHECK_TIMEOUT:?}"),
        };
        CheckOutcome {
            name: self.name.clone(),
            is_liveness: self.is_liveness,
            error,
        }
    }
}

impl fmt::Debug for HealthChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|check| &check.name);
        f.debug_list().entries(names).finish()
    }
}
