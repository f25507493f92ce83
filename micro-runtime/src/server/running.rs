//! `RunningServer`: a server that can be reached, and how it stops.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bus::CarrierSubscription;
use crate::discovery::records::{Info, Stats};
use crate::dispatch;
use crate::dispatch::{Introspection, Phase, Route, ServerState};
use crate::error::{Error, ErrorKind};
use crate::event::{EventCounters, EventStats};
use crate::server::required_permissions::RequiredPermissions;

/// How long calls may take to answer `UNAVAILABLE` once the grace period is over.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A server that can be reached.
///
/// Dropping it stops it at once: what is in flight is answered `UNAVAILABLE`, what has not been read
/// yet is lost. [`shutdown`](Self::shutdown) loses nothing.
#[must_use = "a server that is dropped stops at once"]
pub struct RunningServer {
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
    instances: Vec<String>,
    desks: Vec<Arc<Introspection>>,
    events: Vec<Arc<EventCounters>>,
}

/// The loops of a running server, and the way to end them.
pub(super) struct Stopper {
    shared: Arc<ServerState>,
    loops: JoinSet<()>,
    /// The loops of instances, which streams need until they end.
    instance_loops: JoinSet<()>,
    phase: watch::Sender<Phase>,
    stopped: mpsc::UnboundedReceiver<()>,
    desks: Vec<Arc<Introspection>>,
    grace: Duration,
    /// Tells what takes events from elsewhere that the server stops, and that it is gone.
    sources: DropGuard,
    /// Whoever drops a server wants it to stop; those whose calls it runs learn of it.
    _end: DropGuard,
}

impl RunningServer {
    pub(super) fn new(
        stopper: Stopper,
        violations: Option<broadcast::Receiver<String>>,
        watched: RequiredPermissions,
        desks: Vec<Arc<Introspection>>,
        events: Vec<Arc<EventCounters>>,
    ) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(watch_over(stopper, violations, watched, stop.clone()));
        let instances = desks.iter().map(|desk| desk.info().id.clone()).collect();
        Self {
            stop,
            task,
            instances,
            desks,
            events,
        }
    }

    /// The names of the instances, one per service in the order in which they were added; a client
    /// with [`ClientOptions::instance`](crate::ClientOptions::instance) calls that very one.
    #[must_use]
    pub fn instances(&self) -> &[String] {
        &self.instances
    }

    /// What discovery shows of the instances, in the order of [`instances`](Self::instances).
    #[must_use]
    pub fn info(&self) -> Vec<Info> {
        self.desks.iter().map(|desk| desk.info().clone()).collect()
    }

    /// What the instances have counted, in the order of [`instances`](Self::instances).
    #[must_use]
    pub fn stats(&self) -> Vec<Stats> {
        self.desks.iter().map(|desk| desk.stats()).collect()
    }

    /// Counts from zero again.
    pub fn reset_stats(&self) {
        self.desks.iter().for_each(|desk| desk.reset());
    }

    /// What has become of the events so far, one entry per [`subscribe`](crate::Server::subscribe) in
    /// the order in which they were added.
    #[must_use]
    pub fn events(&self) -> Vec<EventStats> {
        self.events.iter().map(|events| events.stats()).collect()
    }

    /// Stops without losing a call or an event: takes nothing new, finishes what was accepted, and returns
    /// when the last reply has reached NATS.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] or [`ErrorKind::Timeout`] when NATS could not confirm that, and the
    /// error of a server that had stopped by itself.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        self.stop.cancel();
        self.stopped().await
    }

    /// Waits until the server stops by itself, which it does when NATS no longer allows one of its
    /// subjects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Permission`] with the subject.
    pub async fn stopped(&mut self) -> Result<(), Error> {
        match (&mut self.task).await {
            Ok(result) => result,
            Err(error) => {
                Err(Error::new(ErrorKind::Connect, "the server was ended").with_source(error))
            }
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer")
            .field("instances", &self.instances)
            .finish_non_exhaustive()
    }
}

async fn watch_over(
    stopper: Stopper,
    violations: Option<broadcast::Receiver<String>>,
    watched: RequiredPermissions,
    stop: CancellationToken,
) -> Result<(), Error> {
    let refused = async {
        match violations {
            Some(mut violations) => watched.violation(&mut violations).await,
            None => std::future::pending().await,
        }
    };
    let error = tokio::select! {
        () = stop.cancelled() => None,
        error = refused => Some(error),
    };
    if let Some(error) = &error {
        tracing::error!(%error, "the server stops");
    }
    let stopped = stopper.stop().await;
    error.map_or(stopped, Err)
}

impl Stopper {
    pub(super) fn spawn(
        shared: Arc<ServerState>,
        loops: Vec<(CarrierSubscription, Route)>,
        desks: Vec<Arc<Introspection>>,
        grace: Duration,
        sources: DropGuard,
    ) -> Self {
        let (phase, receiver) = watch::channel(Phase::Serving);
        let (sender, stopped) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let mut instance_tasks = JoinSet::new();
        for (subscription, target) in loops {
            let tasks = match target {
                Route::Instance(_) => &mut instance_tasks,
                Route::Method(_)
                | Route::Broadcast(_)
                | Route::Introspection(..)
                | Route::Events(_) => &mut tasks,
            };
            tasks.spawn(dispatch::run(
                subscription,
                target,
                receiver.clone(),
                sender.clone(),
            ));
        }
        Self {
            _end: shared.end.clone().drop_guard(),
            shared,
            loops: tasks,
            instance_loops: instance_tasks,
            phase,
            stopped,
            desks,
            grace,
            sources,
        }
    }

    /// Ends the subscriptions at the server, reads what was under way, finishes it, and lets the
    /// replies reach NATS. The order is what makes it lossless.
    async fn stop(mut self) -> Result<(), Error> {
        join_all(self.desks.iter().map(|desk| desk.leave())).await;
        drop(self.sources);
        // Calls that were made on this bus before are served still.
        self.shared.connection.flush_requests().await;
        let _ = self.phase.send(Phase::Stopping);
        for _ in 0..self.loops.len() + self.instance_loops.len() {
            if self.stopped.recv().await.is_none() {
                break;
            }
        }
        let arrived = self.shared.connection.barrier().await;
        let _ = self.phase.send(Phase::Closing);
        while self.loops.join_next().await.is_some() {}
        self.shared.tasks.close();
        let finished = tokio::time::timeout(self.grace, self.shared.tasks.wait()).await;
        if finished.is_err() {
            tracing::warn!(grace = ?self.grace, "the grace period is over; the rest is answered UNAVAILABLE");
            self.shared.end.cancel();
            let _ = tokio::time::timeout(LAST_WORDS, self.shared.tasks.wait()).await;
        }
        let _ = self.phase.send(Phase::Ended);
        while self.instance_loops.join_next().await.is_some() {}
        arrived?;
        self.shared.connection.barrier().await
    }
}
