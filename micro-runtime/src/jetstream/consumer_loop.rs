//! `ConsumerLoop`: the loop of one durable consumer in this process, from pull request to acknowledgment.

use std::sync::Arc;

use async_nats::Subject;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{Error, ErrorKind};
use crate::event::InlineRunner;
use crate::execute::{ConcurrencyLimit, PollCost, PollTimer, poll_once};
use crate::jetstream::acknowledger::Acknowledger;
use crate::jetstream::delivery_handler::{DeliveryHandler, HandlerScope};
use crate::jetstream::in_flight::InFlight;
use crate::jetstream::loop_timers::{LoopTimers, Tick};
use crate::jetstream::malformed_search::MalformedSearch;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::jetstream::pull::{PullOutcome, PullSubscription};
use crate::jetstream::ready_deliveries::ReadyDeliveries;
use crate::jetstream::redeliveries::Redeliveries;
use crate::jetstream::worker_permit::WorkerPermit;
use crate::wire::header::delete_marker;

/// Maximum number of messages taken in one step, before the loop looks at its other duties.
const MAX_PER_POLL: usize = 64;

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
/// - A redelivery is tracked in `in_flight`, and judged among the [`Redeliveries`]; a suspect stays there until it is
///   its turn, alone.
/// - Otherwise it is tracked in `in_flight`, queued in `ready`, and handled under a [`WorkerPermit`] by the
///   [`DeliveryHandler`], which acknowledges it.
///
/// [`delivery_state`](crate::jetstream::delivery_state) has the states of a delivery.
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
    ready: ReadyDeliveries,
    redeliveries: Redeliveries,
    /// Reply subjects of deliveries that succeeded in place and are not acknowledged yet.
    pending_acks: Vec<Subject>,
    /// Number of the stream's generation that those came in.
    generation: u64,
    workers: Arc<ConcurrencyLimit>,
    timer: PollTimer,
    max_in_flight: usize,
    /// `false` once the subscription has ended.
    is_open: bool,
    timers: LoopTimers,
}

/// Values that hold for all messages of one step: read once, since a step handles in place what is short, or ends.
#[derive(Clone, Copy)]
struct ReceiveStep {
    now: Instant,
    /// Number of the stream's generation.
    generation: u64,
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
        let timers = LoopTimers::new(durable.ack_wait);
        let ready = ReadyDeliveries::new(durable, max_batch);
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
            ready,
            redeliveries: Redeliveries::new(),
            pending_acks: Vec::new(),
            generation: acknowledger.consumer.generation.number(),
            workers: Arc::new(ConcurrencyLimit::new(workers)),
            timer: PollTimer::default(),
            max_in_flight,
            is_open: true,
            timers,
            scope,
        })
    }

    /// Consumes until the server begins to stop, and then waits for the handlers that have begun. The other deliveries,
    /// and those that are left when `end` is canceled, are given back. Handlers run in tasks of `tasks`.
    pub(super) async fn run(mut self, tasks: TaskTracker, end: CancellationToken) {
        let stop = self.scope.acknowledger.stop.clone();
        while self.is_open {
            self.start_handlers(&tasks);
            let is_stopped = self.scope.acknowledger.confirmation.is_stopped();
            if !is_stopped && !self.malformed.holds_up() {
                let free = self.max_in_flight.saturating_sub(self.in_flight.count());
                self.pull.request(free, self.max_in_flight).await;
            }
            tokio::select! {
                biased;
                () = stop.wait() => break,
                () = self.step(&tasks) => {}
            }
            self.acknowledge(&tasks, &end).await;
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

    /// Gives back what no handler has begun with, and waits for the others, until nothing is in flight or `end` is
    /// canceled.
    ///
    /// Those given back would begin behind handlers that take an unknown part of the grace period, and be cut off by
    /// its end; another process handles them at once.
    async fn drain(&mut self, tasks: TaskTracker, end: CancellationToken) {
        // Later arrivals are not handled in place.
        self.inline = None;
        while self.is_open || self.in_flight.count() > 0 {
            let unbegun = self.ready.take_all().chain(self.redeliveries.take_all());
            let unbegun = unbegun.filter_map(|delivery| delivery.left()).collect();
            tokio::select! {
                biased;
                () = self.scope.acknowledger.give_back(unbegun) => {}
                () = end.cancelled() => {}
            }
            tokio::select! {
                biased;
                () = end.cancelled() => {
                    let _judged = self.redeliveries.finish_judging().await;
                    // Read before the handlers stop: a stopped handler drops its deliveries.
                    let left = self.in_flight.left();
                    self.scope.stop.cancel();
                    self.scope.acknowledger.give_back(left).await;
                    return;
                }
                () = self.step(&tasks) => {}
            }
            self.acknowledge(&tasks, &end).await;
        }
    }

    /// Acknowledges together what the last step handled in place, unless the stream was declared anew meanwhile. Keeps
    /// it while that is not known, in which time no further events are requested.
    async fn acknowledge(&mut self, tasks: &TaskTracker, end: &CancellationToken) {
        let consumer = &self.scope.acknowledger.consumer;
        let generation = &consumer.generation;
        if self.pending_acks.is_empty() || !generation.is_verified(&consumer.connection) {
            return;
        }
        let number = generation.number();
        if std::mem::replace(&mut self.generation, number) != number {
            self.pending_acks.clear();
            return;
        }
        if self.scope.acknowledger.confirmation.take_due()
            && let Some(reply) = self.pending_acks.pop()
        {
            let scope = Arc::clone(&self.scope);
            let confirming = async move { scope.acknowledger.confirm(reply).await };
            self.scope.spawn(tasks, [None, None], confirming);
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
            tick = self.timers.tick() => self.on_tick(tick, tasks).await,
            () = self.malformed.ended() => {}
            judged = self.redeliveries.next_judged(), if self.redeliveries.is_judging() => {
                if let Some(delivery) = judged {
                    self.ready.push(delivery);
                }
            }
            pulled = self.pull.next(), if self.is_open => {
                let step = ReceiveStep {
                    now: Instant::now(),
                    generation: self.scope.acknowledger.consumer.generation.number(),
                };
                self.receive(pulled, step, tasks);
                for _ in 1..MAX_PER_POLL {
                    match self.pull.try_next() {
                        Some(pulled) if self.is_open => self.receive(pulled, step, tasks),
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

    async fn on_tick(&mut self, tick: Tick, tasks: &TaskTracker) {
        let acknowledger = &self.scope.acknowledger;
        match tick {
            Tick::Progress => {
                let replies = self.in_flight.tick(Instant::now());
                acknowledger.report_progress(replies).await;
            }
            Tick::HealthCheck => {
                self.pull.check_health();
                self.malformed.look();
                let confirmation = Arc::clone(&acknowledger.confirmation);
                if confirmation.take_probe() {
                    self.scope.spawn(
                        tasks,
                        [None, None],
                        async move { confirmation.probe().await },
                    );
                }
            }
        }
    }

    fn receive(&mut self, pulled: Option<PullOutcome>, step: ReceiveStep, tasks: &TaskTracker) {
        let message = match pulled {
            Some(PullOutcome::Message(message)) => message,
            Some(PullOutcome::Control) => return,
            None => {
                self.is_open = false;
                return;
            }
        };
        let stream = &self.scope.acknowledger.consumer.stream;
        match PendingDelivery::read(message, stream, step.generation) {
            Ok(delivery) if delete_marker(delivery.headers.as_ref()).is_some() => {
                let sequence = delivery.info.sequence();
                tracing::debug!(sequence, "acknowledged a delete marker of JetStream");
                self.pending_acks.push(delivery.reply);
            }
            Ok(mut delivery) => {
                self.scope.acknowledger.counters.record_received();
                if delivery.info.is_redelivered() {
                    delivery.track(&self.in_flight);
                    self.redeliveries.push(delivery, &self.scope);
                } else if let Some(mut delivery) = self.try_inline(delivery, step.now, tasks) {
                    delivery.track(&self.in_flight);
                    self.ready.push(delivery);
                }
            }
            Err(subject) => self.scope.acknowledger.logs.no_delivery(subject),
        }
    }

    /// Handles a delivery in place, or returns it.
    ///
    /// Four conditions: the handlers have proved short, no delivery waits before this one, a permit is free,
    /// and it is the first delivery, as the caller has made sure: a redelivered event may have used up its attempts,
    /// which the [`DeliveryHandler`] checks.
    ///
    /// A handler that is not ready after its first poll, and an outcome other than success, move to a task
    /// with a permit: storing a dead letter may take as long as a new leader needs.
    fn try_inline(
        &mut self,
        mut delivery: PendingDelivery,
        now: Instant,
        tasks: &TaskTracker,
    ) -> Option<PendingDelivery> {
        let Some(inline) = &mut self.inline else {
            return Some(delivery);
        };
        let is_free = self.ready.is_empty() && self.workers.running() < self.workers.limit();
        if !is_free || !self.scope.cost.is_short() {
            return Some(delivery);
        }
        let acknowledger = &self.scope.acknowledger;
        let limit = acknowledger.durable.limit_from(now);
        let reusable = inline.reusable_context();
        let Ok((ctx, payload)) = acknowledger.receive(&delivery, limit, reusable) else {
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
        let finishing = Arc::clone(&self.scope).finish(delivery, handled, limit);
        self.scope.spawn(tasks, [permit, None], finishing);
        None
    }

    /// Starts handlers while there are permits and deliveries that are ready; a suspect first, since it has waited for
    /// longest.
    fn start_handlers(&mut self, tasks: &TaskTracker) {
        let suspect = self
            .redeliveries
            .next_suspect(&self.workers, &self.in_flight);
        if let Some((suspect, permits)) = suspect {
            self.start_handler(vec![suspect], permits.map(Some), tasks);
        }
        while !self.ready.is_empty() {
            let Some(permit) = WorkerPermit::try_acquire(&self.workers, &self.in_flight) else {
                return;
            };
            let batch = self.ready.next_batch();
            self.start_handler(batch, [Some(permit), None], tasks);
        }
    }

    /// Starts the handler of deliveries.
    ///
    /// A handler that is known to be short is polled here first, which mostly ends it without a task. If
    /// it is not ready, a task polls it again, with a waker that works.
    fn start_handler(
        &self,
        batch: Vec<PendingDelivery>,
        permits: [Option<WorkerPermit>; 2],
        tasks: &TaskTracker,
    ) {
        let mut future = self.handler.handle(batch, Arc::clone(&self.scope));
        if self.scope.cost.is_short() && poll_once(|cx| future.as_mut().poll(cx)).is_ready() {
            return;
        }
        self.scope.spawn(tasks, permits, future);
    }
}
