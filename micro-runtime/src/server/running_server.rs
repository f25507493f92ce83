//! `RunningServer`: a server that can be reached.

use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bus::NamedServices;
use crate::discovery::records::{Info, Stats};
use crate::dispatch::Introspection;
use crate::error::{Error, ErrorKind};
use crate::event::{EventCounters, EventStats};
use crate::server::permission_guard::PermissionGuard;
use crate::server::stopper::Stopper;

/// A server that can be reached, from [`Server::start`](crate::Server::start).
///
/// [`shutdown`](Self::shutdown) stops it without losing a call. Dropping it stops it at once, in a task of its
/// runtime: callers of running handlers get `UNAVAILABLE`, and so do requests that it has not read yet, unless their
/// handlers are ready at once.
///
/// # Examples
///
/// ```
/// use micro_runtime::{Bus, Error, Server, Service};
///
/// // `service` is a generated server, as `GreeterServer::new(handler)`.
/// async fn serve(bus: &Bus, service: impl Service) -> Result<(), Error> {
///     let server = Server::new(bus).add(service).start().await?;
///     println!("instance {} serves", server.instances()[0]);
///     server.shutdown().await
/// }
/// ```
#[must_use = "a server that is dropped stops at once"]
pub struct RunningServer {
    stop: CancellationToken,
    /// Ends the grace period, also of a stop that has not begun.
    grace_end: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
    /// The outcome of the task was returned.
    has_stopped: bool,
    instances: Vec<String>,
    introspections: Vec<Arc<Introspection>>,
    events: Vec<Arc<EventCounters>>,
    _named: Option<NamedServices>,
}

impl RunningServer {
    /// Starts the task that watches over the server and stops it.
    pub(super) fn new(
        stopper: Stopper,
        guard: PermissionGuard,
        introspections: Vec<Arc<Introspection>>,
        events: Vec<Arc<EventCounters>>,
        named: Option<NamedServices>,
    ) -> Self {
        let stop = CancellationToken::new();
        let grace_end = stopper.grace_end();
        let task = tokio::spawn(supervise(stopper, guard, stop.clone()));
        let ids = introspections.iter().map(|i| i.info().id.clone());
        Self {
            stop,
            grace_end,
            task,
            has_stopped: false,
            instances: ids.collect(),
            introspections,
            events,
            _named: named,
        }
    }

    /// Returns the ids of the instances, one per service in the order in which they were added. A client
    /// with [`ClientOptions::instance`](crate::ClientOptions::instance) calls that very instance.
    #[must_use]
    pub fn instances(&self) -> &[String] {
        &self.instances
    }

    /// Returns the INFO record of each instance, in the order of [`instances`](Self::instances), as
    /// discovery shows it.
    #[must_use]
    pub fn info(&self) -> Vec<Info> {
        let infos = self.introspections.iter().map(|i| i.info().clone());
        infos.collect()
    }

    /// Returns the STATS record of each instance, in the order of [`instances`](Self::instances): calls,
    /// failures and times of each method, and the health as it was last known. It runs no health check, as
    /// [`checked_stats`](Self::checked_stats) does: before the first one a server counts as healthy.
    ///
    /// Counts are since the start, or since the last [`reset_stats`](Self::reset_stats). A call is counted
    /// before its reply is sent, and a call that a limit refused counts as failed.
    #[must_use]
    pub fn stats(&self) -> Vec<Stats> {
        self.introspections.iter().map(|i| i.stats()).collect()
    }

    /// Returns the STATS record of each instance as [`stats`](Self::stats) does, after its health checks ran within the
    /// last second, or now: what an HTTP probe of this process asks for. A check that takes longer than a second fails.
    /// Empty where no service was added: then [`Bus::state`](crate::Bus::state) tells whether events can arrive.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::RunningServer;
    ///
    /// /// The status of `/readyz`: 503 while a check fails, a connection to NATS is lost, or the server stops.
    /// async fn readyz(server: &RunningServer) -> u16 {
    ///     let stats = server.checked_stats().await;
    ///     let is_ready = stats.iter().all(|one| one.data.as_ref().is_some_and(|data| data.is_ready));
    ///     if is_ready { 200 } else { 503 }
    /// }
    /// ```
    pub async fn checked_stats(&self) -> Vec<Stats> {
        join_all(self.introspections.iter().map(|one| one.checked_stats())).await
    }

    /// Sets the counts of all methods to zero. Counts of events stay.
    pub fn reset_stats(&self) {
        self.introspections.iter().for_each(|i| i.reset_stats());
    }

    /// Returns the counts of events since the start, one entry per [`subscribe`](crate::Server::subscribe)
    /// in the order in which they were added.
    #[must_use]
    pub fn events(&self) -> Vec<EventStats> {
        self.events.iter().map(|events| events.stats()).collect()
    }

    /// Shuts down gracefully, without losing a call or an event: takes nothing new, finishes what was
    /// accepted, and returns when the last reply has reached NATS.
    ///
    /// It tells handlers and the callers of open streams that the server stops
    /// ([`Context::stopping`](crate::Context::stopping),
    /// [`Streaming::stopping`](crate::Streaming::stopping)), and waits for running handlers for the
    /// [grace period](crate::Server::grace), 25 s by default; those that are left are dropped, and their callers
    /// get `UNAVAILABLE`. Their replies may take up to 5 s more where NATS confirms what it gets; where it is away or
    /// silent, all ends with the grace period, within 0.1 s.
    ///
    /// If the returned future is dropped, the server stops at once, as when it is dropped itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] or [`ErrorKind::Timeout`] when NATS does not confirm that everything has
    /// arrived; [`ErrorKind::Timeout`] while handlers under `#[rpc(blocking)]` still run at the end of the grace
    /// period, since nothing can end a thread; and the error of a server that had stopped by itself, unless
    /// [`stopped`](Self::stopped) has returned it.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        self.stop.cancel();
        self.stopped().await
    }

    /// Waits until the server stops by itself, which it does when NATS no longer allows one of its
    /// subscriptions, after a reload of the permissions or a reconnect: a server that cannot be reached must not
    /// look as if it served. A message that NATS does not let it publish never stops it. Once it has returned the
    /// server has stopped, and further calls, also of [`shutdown`](Self::shutdown), return `Ok` at once.
    ///
    /// Cancel safe: the server goes on if the returned future is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Permission`] with the subject.
    pub async fn stopped(&mut self) -> Result<(), Error> {
        if self.has_stopped {
            return Ok(());
        }
        let ended = (&mut self.task).await;
        self.has_stopped = true;
        match ended {
            Ok(result) => result,
            Err(error) => {
                Err(Error::new(ErrorKind::Connect, "the server was ended").with_source(error))
            }
        }
    }
}

/// The task goes on until the subscriptions have ended: aborted at once, it would leave requests without a reply that
/// NATS has routed here, or routes before it has read that they end.
impl Drop for RunningServer {
    fn drop(&mut self) {
        self.grace_end.cancel();
        self.stop.cancel();
    }
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer")
            .field("instances", &self.instances)
            .finish_non_exhaustive()
    }
}

/// Waits until `stop` is canceled or the server loses a permission, and then stops it.
async fn supervise(
    stopper: Stopper,
    mut guard: PermissionGuard,
    stop: CancellationToken,
) -> Result<(), Error> {
    let error = tokio::select! {
        () = stop.cancelled() => None,
        error = guard.lost() => Some(error),
    };
    if let Some(error) = &error {
        tracing::error!(%error, "the server stops");
    }
    // In a box: the task of an idle server has no need of its room.
    let stopped = Box::pin(stopper.stop()).await;
    error.map_or(stopped, Err)
}
