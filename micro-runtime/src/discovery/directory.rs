//! `Directory`: a cached view of all instances, which stays usable while queries fail.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::discovery::names;
use crate::discovery::query::Query;
use crate::discovery::records::Info;
use crate::error::Error;
use crate::log_limit::LogLimit;

/// Time after a failed query in which the last result is used without another query.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Cached view of all instances; made by [`Discovery::cached`](crate::discovery::Discovery::cached). Cheap to
/// clone, and clones share the cache.
///
/// It has no task of its own: a query is made by the caller who finds the view too old, and callers that come meanwhile
/// wait for the same query.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    query: Query<Info>,
    max_age: Duration,
    state: Mutex<State>,
    failure_log: LogLimit,
}

#[derive(Default)]
struct State {
    known: Option<Snapshot>,
    failed: Option<(Instant, String)>,
}

/// Contents of a [`Directory`] at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    instances: Arc<[Info]>,
    queried_at: Instant,
    failure: Option<String>,
}

impl Directory {
    pub(crate) fn new(query: Query<Info>, max_age: Duration) -> Self {
        Self(Arc::new(Inner {
            query,
            max_age,
            state: Mutex::default(),
            failure_log: LogLimit::default(),
        }))
    }

    /// Returns the instances: the cached ones while they are younger than the maximum age, else those of a
    /// new query. If that fails, the cached ones are returned all the same, with the reason as
    /// [`Snapshot::failure`].
    ///
    /// Cancel safe: a query that is dropped changes nothing.
    ///
    /// # Errors
    ///
    /// The error of the query, if no earlier one has succeeded.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        // The lock is held during the query, so that callers that come meanwhile wait for its result.
        let mut state = self.0.state.lock().await;
        if let Some(known) = &state.known
            && known.age() < self.0.max_age
        {
            return Ok(known.clone());
        }
        let has_just_failed = state
            .failed
            .as_ref()
            .is_some_and(|(at, _)| at.elapsed() < RETRY_AFTER);
        if !(has_just_failed && state.known.is_some()) {
            let queried_at = Instant::now();
            match self.0.query.clone().await {
                Ok(instances) => {
                    let known = Snapshot {
                        instances: instances.into(),
                        queried_at,
                        failure: None,
                    };
                    state.failed = None;
                    state.known = Some(known.clone());
                    return Ok(known);
                }
                Err(error) if state.known.is_none() => return Err(error),
                Err(error) => {
                    state.failed = Some((Instant::now(), error.to_string()));
                    self.0.failure_log.write(move |count| {
                        tracing::warn!(%error, count, "discovery failed; what was known is used on");
                    });
                }
            }
        }
        let failure = state.failed.as_ref().map(|(_, text)| text.clone());
        let known = state.known.clone().unwrap_or_else(Snapshot::empty);
        Ok(Snapshot { failure, ..known })
    }

    /// Clears the cache, so that the next [`snapshot`](Self::snapshot) makes a query.
    pub async fn clear(&self) {
        *self.0.state.lock().await = State::default();
    }
}

impl Snapshot {
    fn empty() -> Self {
        Self {
            instances: Arc::from([]),
            queried_at: Instant::now(),
            failure: None,
        }
    }

    /// Returns the instances of all services.
    #[must_use]
    pub fn instances(&self) -> &[Info] {
        &self.instances
    }

    /// Returns the instances of one service, by its full name or its ADR-32 name.
    pub fn of(&self, service: &str) -> impl Iterator<Item = &Info> {
        let name = names::service_name(service);
        self.instances.iter().filter(move |info| info.name == name)
    }

    /// Returns the time since the query began.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.queried_at.elapsed()
    }

    /// Returns the error of the last query; `None` if the instances are as young as they should be.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("query", &self.0.query)
            .field("max_age", &self.0.max_age)
            .finish_non_exhaustive()
    }
}
