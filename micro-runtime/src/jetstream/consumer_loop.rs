//! `ConsumerLoop`: the loop of one durable consumer in this process, from pull request to acknowledgment.

use std::collections::VecDeque;
use std::future::Future;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{Error, ErrorKind};
use crate::event::InlineRunner;
use crate::execute::{ConcurrencyLimit, PollCost, PollTimer, poll_once};
use crate::jetstream::acknowledger::Acknowledger;
use crate::jetstream::delivery_handler::{DeliveryHandler, HandlerScope};
use crate::jetstream::in_flight::InFlight;
use crate::jetstream::malformed_search::MalformedSearch;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::jetstream::pull::{PullOutcome, PullSubscription};
use crate::jetstream::reconnect_detector::HEALTH_CHECK_INTERVAL;
use crate::jetstream::worker_permit::WorkerPermit;
use crate::wire::header::delete_marker;

/// Maximum number of messages taken in one step, before the loop looks at its other duties.
const MAX_PER_POLL: usize = 64;
/// Delivery count from which an event is handled in a batch of its own.
const FIRST_ISOLATED_DELIVERY: u64 = 3;

/// One durable consumer at work in this process.
///
/// One task runs the loop; handlers run in it or in tasks of their own. Each turn of the loop starts handlers
/// for the deliveries that are ready, requests more if there is room, waits for one event of
/// [`step`](Self::step), and acknowledges what that step handled in place.
///
/// # Ways of a delivery
///
/// - A delete marker of JetStream is acknowledged and no more: nobody has published it.
/// - In place, at once, without entering `ready` or `in_flight`: see [`try_inline`](Self::try_inline).
///   This is the fast path; its acknowledgment leaves at the end of the step.
/// - Otherwise it is tracked in `in_flight`, queued in `ready`, and handled under a [`WorkerPermit`] by the
///   [`DeliveryHandler`], which acknowledges it.
///
/// # Invariants
///
/// - At most `max_in_flight` deliveries are requested or held. More would wait here for longer than they
///   need, while another process of the same consumer is idle.
/// - Every delivery that was received is acknowledged, given back by [`drain`](Self::drain), or left to
///   `ack_wait`: nothing is lost whatever ends this process.
/// - With [`Durable::ordered`](crate::jetstream::Durable::ordered) there is one permit and one delivery in
///   flight over all processes, which JetStream enforces (`max_ack_pending` is 1).
pub(super) struct ConsumerLoop {
    pull: PullSubscription,
    malformed: MalformedSearch,
    scope: Arc<HandlerScope>,
    handler: Arc<dyn DeliveryHandler>,
    /// `None` for handlers of batches, which do not run delivery by delivery.
    inline: Option<InlineRunner>,
    in_flight: Arc<InFlight>,
    /// Deliveries that wait for a permit, in the order of arrival.
    ready: VecDeque<PendingDelivery>,
    /// Reply subjects of deliveries that succeeded in place and are not acknowledged yet.
    pending_acks: Vec<Subject>,
    workers: Arc<ConcurrencyLimit>,
    timer: PollTimer,
    /// Maximum number of deliveries that one handler gets together.
    max_batch: usize,
    max_in_flight: usize,
    /// `false` once the subscription has ended.
    is_open: bool,
    progress: Interval,
    health_check: Interval,
}

impl ConsumerLoop {
    /// Subscribes, without requesting anything yet.
    pub(super) async fn start(
        acknowledger: Acknowledger,
        handler: Arc<dyn DeliveryHandler>,
        workers: usize,
        max_batch: usize,
    ) -> Result<Self, Error> {
        let durable = &acknowledger.durable;
        let workers = match durable.is_ordered {
            true => 1,
            false => workers,
        };
        let in_flight = Arc::<InFlight>::default();
        let counted = Arc::clone(&in_flight);
        acknowledger.counters.set_in_hand(move || counted.count());
        let max_in_flight = durable.max_in_flight(workers.saturating_mul(max_batch));
        // Three ticks per `ack_wait`, see `InFlight::tick`.
        let progress = ticks(durable.ack_wait / 3);
        let scope = Arc::new(HandlerScope {
            acknowledger,
            cost: PollCost::new(),
            stop: CancellationToken::new(),
        });
        let acknowledger = &scope.acknowledger;
        Ok(Self {
            malformed: MalformedSearch::new(&scope),
            pull: PullSubscription::start(
                Arc::clone(&acknowledger.consumer),
                Arc::clone(&acknowledger.counters),
            )
            .await?,
            inline: handler.inline_runner(),
            handler,
            in_flight,
            ready: VecDeque::new(),
            pending_acks: Vec::new(),
            workers: Arc::new(ConcurrencyLimit::new(workers)),
            timer: PollTimer::default(),
            max_batch,
            max_in_flight,
            is_open: true,
            progress,
            health_check: ticks(HEALTH_CHECK_INTERVAL),
            scope,
        })
    }

    /// Consumes until the server begins to stop, and then handles what has arrived. Deliveries that are left when
    /// `end` is canceled are given back. Handlers run in tasks of `tasks`.
    pub(super) async fn run(mut self, tasks: TaskTracker, end: CancellationToken) {
        let stop = self.scope.acknowledger.stop.clone();
        while self.is_open {
            self.start_handlers(&tasks);
            if !self.malformed.holds_up() {
                let free = self.max_in_flight.saturating_sub(self.in_flight.count());
                self.pull.request(free, self.max_in_flight).await;
            }
            tokio::select! {
                biased;
                () = stop.wait() => break,
                () = self.step(&tasks) => {}
            }
            self.acknowledge(&end).await;
        }
        self.pull.stop().await;
        // After the barrier every delivery that the server sent has arrived.
        match self.scope.acknowledger.consumer.connection.barrier().await {
            // The connection is lost, which its own log states, or was closed before the server.
            Err(error) if error.kind() == ErrorKind::Connect => {
                tracing::debug!(%error, "events that were on their way are delivered again later");
            }
            Err(error) => {
                tracing::warn!(%error, "events that were on their way are delivered again later");
            }
            Ok(()) => {}
        }
        self.pull.close().await;
        self.drain(tasks, end).await;
    }

    /// Handles what has arrived, until nothing is in flight or `end` is canceled.
    async fn drain(&mut self, tasks: TaskTracker, end: CancellationToken) {
        while self.is_open || !self.ready.is_empty() || self.in_flight.count() > 0 {
            self.start_handlers(&tasks);
            tokio::select! {
                biased;
                () = end.cancelled() => {
                    // Read before the handlers stop: a stopped handler drops its deliveries.
                    let left = self.in_flight.reply_subjects();
                    self.scope.stop.cancel();
                    self.scope.acknowledger.nak_all(left).await;
                    return;
                }
                () = self.step(&tasks) => {}
            }
            self.acknowledge(&end).await;
        }
    }

    /// Acknowledges together what the last step handled in place.
    async fn acknowledge(&mut self, end: &CancellationToken) {
        if self.pending_acks.is_empty() {
            return;
        }
        tokio::select! {
            biased;
            () = self.scope.acknowledger.acknowledge(&mut self.pending_acks) => {}
            // The connection takes nothing: the events are delivered again.
            () = end.cancelled() => {}
        }
        self.pending_acks.clear();
    }

    /// Waits for one event: progress is due, a health check is due, messages arrive, or a handler ends.
    ///
    /// Cancel safe: a message that was received has been taken in by the time that this can be dropped.
    async fn step(&mut self, tasks: &TaskTracker) {
        tokio::select! {
            biased;
            _ = self.progress.tick() => {
                let replies = self.in_flight.tick();
                self.scope.acknowledger.report_progress(replies).await;
            }
            _ = self.health_check.tick() => {
                self.pull.check_health();
                self.malformed.look();
            }
            () = self.malformed.ended() => {}
            pulled = self.pull.next(), if self.is_open => {
                self.receive(pulled, tasks);
                for _ in 1..MAX_PER_POLL {
                    match self.pull.try_next() {
                        Some(pulled) if self.is_open => self.receive(pulled, tasks),
                        _ => break,
                    }
                    // Handlers have just become long. What was handled before must be acknowledged within
                    // its `ack_wait`, and so must not wait for 63 of them.
                    if !self.pending_acks.is_empty() && !self.scope.cost.is_short() {
                        break;
                    }
                }
                self.timer.stop(&self.scope.cost);
            }
            () = self.in_flight.freed.notified() => {}
        }
    }

    fn receive(&mut self, pulled: Option<PullOutcome>, tasks: &TaskTracker) {
        let message = match pulled {
            Some(PullOutcome::Message(message)) => message,
            Some(PullOutcome::Control) => return,
            None => {
                self.is_open = false;
                return;
            }
        };
        match PendingDelivery::read(message, &self.scope.acknowledger.consumer.stream) {
            Ok(delivery) if delete_marker(delivery.headers.as_ref()).is_some() => {
                let sequence = delivery.info.sequence();
                tracing::debug!(sequence, "acknowledged a delete marker of JetStream");
                self.pending_acks.push(delivery.reply);
            }
            Ok(delivery) => {
                self.scope.acknowledger.counters.record_received();
                if let Some(mut delivery) = self.try_inline(delivery, tasks) {
                    delivery.track(&self.in_flight);
                    self.ready.push_back(delivery);
                }
            }
            Err(subject) => self.scope.acknowledger.logs.no_delivery(subject),
        }
    }

    /// Handles a delivery in place, or returns it.
    ///
    /// Four conditions: the handlers have proved short, no delivery waits before this one, a permit is free,
    /// and it is the first delivery. A redelivered event may have used up its deliveries, which the
    /// [`DeliveryHandler`] checks.
    ///
    /// A handler that is not ready after its first poll, and an outcome other than success, move to a task
    /// with a permit: storing a dead letter may take as long as a new leader needs.
    fn try_inline(
        &mut self,
        mut delivery: PendingDelivery,
        tasks: &TaskTracker,
    ) -> Option<PendingDelivery> {
        let Some(inline) = &mut self.inline else {
            return Some(delivery);
        };
        let is_free = self.ready.is_empty() && self.workers.running() < self.workers.limit();
        if !is_free || !self.scope.cost.is_short() || delivery.info.is_redelivered() {
            return Some(delivery);
        }
        let acknowledger = &self.scope.acknowledger;
        let Ok((ctx, payload)) = acknowledger.receive(&delivery, inline.reusable_context()) else {
            return Some(delivery);
        };
        self.timer.start();
        let handled = inline.handle(ctx, payload);
        self.timer.count(&self.scope.cost);
        if matches!(handled, Ok(Ok(()))) {
            self.pending_acks.push(delivery.reply);
            return None;
        }
        let permit = WorkerPermit::try_acquire(&self.workers, &self.in_flight);
        delivery.track(&self.in_flight);
        let scope = Arc::clone(&self.scope);
        let finishing = async move {
            let handled = match handled {
                Ok(handled) => Some(handled),
                Err(execution) => execution.run(None, &scope.stop).await,
            };
            if let Some(handled) = handled {
                scope
                    .acknowledger
                    .ack_or_nak(slice::from_ref(&delivery), handled)
                    .await;
            }
        };
        self.spawn(tasks, permit, finishing);
        None
    }

    /// Starts handlers while there are permits and deliveries that are ready.
    ///
    /// A handler that is known to be short is polled here first, which mostly ends it without a task. If
    /// it is not ready, a task polls it again, with a waker that works.
    fn start_handlers(&mut self, tasks: &TaskTracker) {
        while !self.ready.is_empty() {
            let Some(permit) = WorkerPermit::try_acquire(&self.workers, &self.in_flight) else {
                return;
            };
            let batch = self.next_batch();
            let mut future = self.handler.handle(batch, Arc::clone(&self.scope));
            if self.scope.cost.is_short() && poll_once(|cx| future.as_mut().poll(cx)).is_ready() {
                continue;
            }
            self.spawn(tasks, Some(permit), future);
        }
    }

    /// Spawns the handling of deliveries, which ends with the grace period at the latest. The permit, if
    /// there is one, is given back after the handler was dropped.
    fn spawn(
        &self,
        tasks: &TaskTracker,
        permit: Option<WorkerPermit>,
        handling: impl Future<Output = ()> + Send + 'static,
    ) {
        let scope = Arc::clone(&self.scope);
        tasks.spawn(async move {
            let _permit = permit;
            tokio::select! {
                biased;
                () = handling => {}
                () = scope.stop.cancelled() => {}
            }
        });
    }

    /// Takes the next deliveries for one handler: up to `max_batch`, or one that has failed before.
    ///
    /// A batch succeeds or fails as a whole. An event that cannot be handled would take all others of its
    /// batches with it, up to the dead letters. So from its third delivery on it comes alone; the second is
    /// still shared, since most failures are not the fault of one event.
    fn next_batch(&mut self) -> Vec<PendingDelivery> {
        let is_isolated =
            |delivery: &PendingDelivery| delivery.info.count() >= FIRST_ISOLATED_DELIVERY;
        let count = match self.ready.front() {
            Some(first) if is_isolated(first) => 1,
            _ => self
                .ready
                .iter()
                .take(self.max_batch)
                .take_while(|delivery| !is_isolated(delivery))
                .count(),
        };
        self.ready.drain(..count).collect()
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
