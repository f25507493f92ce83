//! `Directory`: a view of the instances that is kept for a while, and outlives a query that fails.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::discovery::names;
use crate::discovery::query::Query;
use crate::discovery::records::Info;
use crate::error::Error;

/// After a query that failed nobody tries again for so long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A view of the instances that is asked for anew only when it is old. Cheap to clone; clones share
/// it. See [`Discovery::cached`](crate::discovery::Discovery::cached).
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    query: Query<Info>,
    max_age: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Option<Snapshot>,
    failed: Option<(Instant, String)>,
}

/// What a [`Directory`] knew at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    instances: Arc<[Info]>,
    asked: Instant,
    failure: Option<String>,
}

impl Directory {
    pub(crate) fn new(query: Query<Info>, max_age: Duration) -> Self {
        Self(Arc::new(Inner {
            query,
            max_age,
            state: Mutex::default(),
        }))
    }

    /// What is known: as it is while it is young, asked for anew once it is old, and as it was when
    /// that fails; [`Snapshot::failure`] then says why.
    ///
    /// # Errors
    ///
    /// That of the query, when no earlier one has succeeded.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        // Who comes meanwhile waits for the same query.
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
            let asked = Instant::now();
            match self.0.query.clone().await {
                Ok(instances) => {
                    let known = Snapshot {
                        instances: instances.into(),
                        asked,
                        failure: None,
                    };
                    state.failed = None;
                    state.known = Some(known.clone());
                    return Ok(known);
                }
                Err(error) if state.known.is_none() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "discovery failed; what was known is used on");
                    state.failed = Some((Instant::now(), error.to_string()));
                }
            }
        }
        let failure = state.failed.as_ref().map(|(_, text)| text.clone());
        let known = state.known.clone().unwrap_or_else(Snapshot::empty);
        Ok(Snapshot { failure, ..known })
    }

    /// Forgets what is known, so that the next [`snapshot`](Self::snapshot) asks.
    pub async fn clear(&self) {
        *self.0.state.lock().await = State::default();
    }
}

impl Snapshot {
    fn empty() -> Self {
        Self {
            instances: Arc::from([]),
            asked: Instant::now(),
            failure: None,
        }
    }

    /// The instances of all services.
    #[must_use]
    pub fn instances(&self) -> &[Info] {
        &self.instances
    }

    /// The instances of one service, by its full name or its ADR-32 name.
    pub fn of(&self, service: &str) -> impl Iterator<Item = &Info> {
        let name = names::service_name(service);
        self.instances.iter().filter(move |info| info.name == name)
    }

    /// How long ago it was asked for.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.asked.elapsed()
    }

    /// Why it could not be asked for anew; `None` if it is as young as it should be.
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
