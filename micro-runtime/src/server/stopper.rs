//! `Stopper`: the graceful shutdown of a server, that is, its loops and the order of steps that ends them
//! without losing a message (drain, then stop).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bus::{CarrierSubscription, Connections};
use crate::context::{StopGuard, Words};
use crate::dispatch::{Phase, Route, ServerState, spawn_loop};
use crate::error::{Error, ErrorKind};
use crate::server::stop_time::StopTime;
use crate::server::under_way::UnderWay;

/// The loops of a running server.
///
/// Dropping it ends the server at once: the loops are aborted with their [`JoinSet`]s, and the handlers
/// that still run are dropped and their callers get `UNAVAILABLE`.
pub(super) struct Stopper {
    server: Arc<ServerState>,
    connections: Connections,
    loops: JoinSet<()>,
    /// Loops of instances, which streams need for their frames until they end.
    instance_loops: JoinSet<()>,
    phase: watch::Sender<Phase>,
    /// Reports of the loops that they have unsubscribed.
    stopped: mpsc::UnboundedReceiver<()>,
    under_way: UnderWay,
    /// Number of tasks that a server without calls and events has, those of its event sources.
    idle_tasks: usize,
    grace_period: Duration,
    /// Tells handlers, streams and sources outside of the bus, such as durable consumers, of the stop when dropped.
    stop: StopGuard,
    /// Cancels [`ServerState::grace_ended`] when dropped, for a server that is dropped without a stop.
    _grace_ended: DropGuard,
}

/// Maximum time in which a server that was dropped replies to the requests that are on their way to it.
const DROPPED_GRACE: Duration = Duration::from_secs(5);

impl Stopper {
    /// Starts a loop for each subscription.
    pub(super) fn spawn(
        server: Arc<ServerState>,
        connections: Connections,
        subscriptions: Vec<(CarrierSubscription, Route)>,
        under_way: UnderWay,
        grace_period: Duration,
        stop: StopGuard,
    ) -> Self {
        let idle_tasks = server.tasks.len();
        let (phase, receiver) = watch::channel(Phase::Serving);
        let (sender, stopped) = mpsc::unbounded_channel();
        let mut loops = JoinSet::new();
        let mut instance_loops = JoinSet::new();
        for (subscription, route) in subscriptions {
            let loops = match route {
                Route::Instance(_) => &mut instance_loops,
                Route::Method(_)
                | Route::Broadcast(_)
                | Route::Introspection(..)
                | Route::Events(_) => &mut loops,
            };
            let (phase, stopped) = (receiver.clone(), sender.clone());
            spawn_loop(loops, subscription, route, phase, stopped);
        }
        let grace_ended: CancellationToken = server.grace_ended.clone();
        Self {
            _grace_ended: grace_ended.drop_guard(),
            server,
            connections,
            loops,
            instance_loops,
            phase,
            stopped,
            under_way,
            idle_tasks,
            grace_period,
            stop,
        }
    }

    /// Returns the token by which the grace period ends early: that of a server that is dropped.
    pub(super) fn grace_end(&self) -> CancellationToken {
        self.server.grace_ended.clone()
    }

    /// Shortens the grace period to this time, if it is longer.
    pub(super) fn with_grace_of_at_most(mut self, max: Duration) -> Self {
        self.grace_period = self.grace_period.min(max);
        self
    }

    /// Stops the server. The order of the steps is what makes it lossless:
    ///
    /// 1. Tell the handlers and the peers of open streams of the stop, and the sources outside of the bus, which
    ///    finish what they have taken. The grace period begins.
    /// 2. Announce the stop, while everything is served still.
    /// 3. Send the requests that this process has queued, so that calls of its own are served. Where they go through a
    ///    connection of their own, wait until NATS has them: it keeps no order between connections.
    /// 4. Unsubscribe, softly: NATS routes nothing more here, and the loops go on reading.
    /// 5. Wait for a barrier, a message to the own inbox. NATS keeps the order of one connection: once it
    ///    has arrived, so has everything that NATS had routed here before.
    /// 6. Read what has arrived, to the end of each loop.
    /// 7. Wait for the tasks and for the threads of handlers that may block, until the grace period ends at most; then
    ///    drop the handlers that are left, and let them send their last replies.
    /// 8. End the loops of instances, which the streams needed until here.
    /// 9. Wait for a second barrier: it comes after the last reply, which so has reached NATS. So have acknowledgments,
    ///    and what handlers have published; where those go through connections of their own, wait until NATS has them.
    ///
    /// Each step has a bound ([`StopTime`]): one that NATS or the connection holds up is given up at the end of the
    /// grace period, and the next ones are taken all the same.
    ///
    /// # Errors
    ///
    /// Those of the barriers and of step 9, [`ErrorKind::Timeout`] where one is given up, and where threads go on; none
    /// if NATS is away or confirms nothing, and neither a call nor an event was under way when the stop began.
    pub(super) async fn stop(mut self) -> Result<(), Error> {
        let was_idle = self.server.tasks.len() <= self.idle_tasks && self.under_way.is_empty();
        let was_dropped = self.server.grace_ended.is_cancelled();
        if was_dropped {
            // Its handlers end at once; this is for what is on its way.
            self.grace_period = self.grace_period.min(DROPPED_GRACE);
        }
        let mut time = StopTime::begin(self.grace_period);
        drop(self.stop);
        let arrived = timeout_at(time.end(), async {
            let introspections = self.under_way.introspections.iter();
            join_all(introspections.map(|i| i.announce_stop())).await;
            self.connections.precede_serving().await;
            let _ = self.phase.send(Phase::Stopping);
            for _ in 0..self.loops.len() + self.instance_loops.len() {
                if self.stopped.recv().await.is_none() {
                    break;
                }
            }
            self.server.serving.barrier().await
        });
        let arrived = arrived.await.unwrap_or_else(|_| Err(not_confirmed()));
        if arrived.is_ok() {
            time.note_confirmed();
        }
        let _ = self.phase.send(Phase::Closing);
        end_loops(&mut self.loops, &time).await;
        self.server.tasks.close();
        self.server.threads.close();
        let is_finished = tokio::select! {
            biased;
            ((), ()) = async {
                tokio::join!(self.server.tasks.wait(), self.server.threads.wait())
            } => true,
            ((), ()) = async {
                let report = self.under_way.report_until(time.grace_end());
                tokio::join!(report, time.pass(&self.connections.serving))
            } => false,
        };
        if !is_finished {
            if !was_dropped {
                tracing::warn!(
                    grace = ?self.grace_period,
                    dropped = %self.under_way,
                    "the grace period is over; calls that still run fail with UNAVAILABLE"
                );
            }
            self.server.grace_ended.cancel();
            let _ = timeout_at(time.end(), self.server.tasks.wait()).await;
        }
        let _ = self.phase.send(Phase::Ended);
        end_loops(&mut self.instance_loops, &time).await;
        let sent = timeout_at(time.end(), confirm_sent(&self.connections, arrived)).await;
        match sent.unwrap_or_else(|_| Err(not_confirmed())) {
            // Nothing more can arrive, and no reply is on its way.
            Err(error) if was_idle && is_of_connection(error.kind()) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => check_threads(self.server.threads.len(), self.grace_period),
        }
    }
}

/// Waits until the loops have read what has arrived. Those that the connection holds up are aborted.
async fn end_loops(loops: &mut JoinSet<()>, time: &StopTime) {
    let ending = async { while loops.join_next().await.is_some() {} };
    if timeout_at(time.end(), ending).await.is_err() {
        loops.abort_all();
    }
}

/// Returns the error of a stop that NATS held up to the end of the grace period.
fn not_confirmed() -> Error {
    let text = "NATS did not confirm, by the end of the grace period, that everything has arrived and that everything was sent";
    Error::new(ErrorKind::Timeout, text)
}

/// Fails a stop with handlers that go on in so many threads, which nothing can end.
fn check_threads(threads: usize, grace_period: Duration) -> Result<(), Error> {
    if threads == 0 {
        return Ok(());
    }
    let text = format!(
        "the grace period of {} is over, and handlers under `#[rpc(blocking)]` still run, {threads} in number: nothing \
         can end a thread; a longer `Server::grace` waits for them",
        Words(grace_period)
    );
    Err(Error::new(ErrorKind::Timeout, text))
}

fn is_of_connection(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Connect | ErrorKind::Timeout)
}

/// Returns once NATS has what was sent on each connection; `arrived` is the outcome of the barrier before on that of
/// the server, which is not tried again where it failed.
async fn confirm_sent(connections: &Connections, arrived: Result<(), Error>) -> Result<(), Error> {
    let serving = &connections.serving;
    let others = connections.each().filter(|one| !Arc::ptr_eq(one, serving));
    let others = join_all(others.map(|one| one.flush()));
    let last = async {
        match arrived {
            Ok(()) => serving.barrier().await,
            failed => failed,
        }
    };
    let (last, others) = tokio::join!(last, others);
    last.and(others.into_iter().collect())
}
