//! `Stopper`: the graceful shutdown of a server, that is, its loops and the order of steps that ends them
//! without losing a message (drain, then stop).

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bus::{CarrierSubscription, Connections, instant_after};
use crate::context::StopGuard;
use crate::dispatch::{Phase, Route, ServerState, spawn_loop};
use crate::error::{Error, ErrorKind};
use crate::server::under_way::UnderWay;

/// Time that tasks have to send their last replies once the grace period is over and their handlers are
/// dropped. It bounds a stop while the connection takes nothing.
const FINAL_REPLY_TIMEOUT: Duration = Duration::from_secs(5);

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
    grace_period: Duration,
    /// Tells handlers, streams and sources outside of the bus, such as durable consumers, of the stop when dropped.
    stop: StopGuard,
    /// Cancels [`ServerState::grace_ended`] when dropped, for a server that is dropped without a stop.
    _grace_ended: DropGuard,
}

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
            grace_period,
            stop,
        }
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
    /// 7. Wait for the tasks, until the grace period ends at most; then drop the handlers that are left, and
    ///    let them send their last replies.
    /// 8. End the loops of instances, which the streams needed until here.
    /// 9. Wait for a second barrier: it comes after the last reply, which so has reached NATS. So have acknowledgments,
    ///    and what handlers have published; where those go through connections of their own, wait until NATS has them.
    ///
    /// # Errors
    ///
    /// Those of the barriers and of step 9; none if there is no connection, and no call ran when the stop began. The
    /// other steps are taken all the same.
    pub(super) async fn stop(mut self) -> Result<(), Error> {
        let was_idle = self.server.tasks.is_empty();
        let grace_end = instant_after(Instant::now(), self.grace_period);
        drop(self.stop);
        let introspections = self.under_way.introspections.iter();
        join_all(introspections.map(|i| i.announce_stop())).await;
        self.connections.precede_serving().await;
        let _ = self.phase.send(Phase::Stopping);
        for _ in 0..self.loops.len() + self.instance_loops.len() {
            if self.stopped.recv().await.is_none() {
                break;
            }
        }
        let arrived = self.server.connection.barrier().await;
        let _ = self.phase.send(Phase::Closing);
        while self.loops.join_next().await.is_some() {}
        self.server.tasks.close();
        let is_finished = tokio::select! {
            biased;
            () = self.server.tasks.wait() => true,
            () = self.under_way.report_until(grace_end) => false,
        };
        if !is_finished {
            tracing::warn!(
                grace = ?self.grace_period,
                dropped = %self.under_way,
                "the grace period is over; calls that still run fail with UNAVAILABLE"
            );
            self.server.grace_ended.cancel();
            let _ = tokio::time::timeout(FINAL_REPLY_TIMEOUT, self.server.tasks.wait()).await;
        }
        let _ = self.phase.send(Phase::Ended);
        while self.instance_loops.join_next().await.is_some() {}
        match confirm_sent(&self.connections, arrived).await {
            // Without a connection nothing more can arrive, and no reply is on its way.
            Err(error) if error.kind() == ErrorKind::Connect && was_idle => Ok(()),
            stopped => stopped,
        }
    }
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
