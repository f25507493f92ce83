//! The loop of one durable consumer: asks, hands out, reports progress, and drains when it is to stop.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context as TaskContext, Waker};
use std::time::Duration;

use async_nats::Subject;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::event::InlineRunner;
use crate::execute::{ConcurrencyLimit, PollCost, PollTimer};
use crate::jetstream::acknowledger::Acknowledger;
use crate::jetstream::delivery_handler::{DeliveryHandler, HandlerScope};
use crate::jetstream::in_flight::InFlight;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::jetstream::pull::{PullOutcome, PullSubscription};

/// How often the loop looks whether the server still knows of it.
const HEALTH_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// So many messages are taken in before the rest of the loop has its turn.
const AT_A_TIME: usize = 64;
/// From this delivery on an event comes alone, so that it takes no others of its batch with it.
const ALONE_FROM: u64 = 3;

/// One consumer at work in this process.
pub(super) struct ConsumerLoop {
    pull: PullSubscription,
    scope: Arc<HandlerScope>,
    handler: Arc<dyn DeliveryHandler>,
    inline: Option<InlineRunner>,
    held: Arc<InFlight>,
    ready: VecDeque<PendingDelivery>,
    /// What was handled in place and is to be acknowledged.
    done: Vec<Subject>,
    workers: Arc<ConcurrencyLimit>,
    watch: PollTimer,
    /// How many deliveries a handler gets together at most.
    batch: usize,
    limit: usize,
    is_open: bool,
    progress: Interval,
    look: Interval,
}

/// A place among the workers; the loop is told when it is free again.
struct WorkerPermit {
    workers: Arc<ConcurrencyLimit>,
    held: Arc<InFlight>,
}

impl ConsumerLoop {
    pub(super) async fn start(
        settle: Acknowledger,
        handler: Arc<dyn DeliveryHandler>,
        workers: usize,
        batch: usize,
    ) -> Result<Self, Error> {
        let workers = match settle.durable.is_ordered {
            true => 1,
            false => workers,
        };
        Ok(Self {
            pull: PullSubscription::start(Arc::clone(&settle.consumer)).await?,
            inline: handler.inline(),
            handler,
            held: Arc::default(),
            ready: VecDeque::new(),
            done: Vec::new(),
            workers: Arc::new(ConcurrencyLimit::new(workers)),
            watch: PollTimer::default(),
            batch,
            limit: settle.durable.limit(workers.saturating_mul(batch)),
            is_open: true,
            progress: ticks(settle.durable.ack_wait / 3),
            look: ticks(HEALTH_CHECK_INTERVAL),
            scope: Arc::new(HandlerScope {
                acknowledger: settle,
                cost: PollCost::new(),
                stop: CancellationToken::new(),
            }),
        })
    }

    /// Consumes until `stop`, then finishes what has arrived; what is left at `end` is delivered
    /// again. Handlers run among `tasks`.
    pub(super) async fn run(
        mut self,
        tasks: TaskTracker,
        stop: CancellationToken,
        end: CancellationToken,
    ) {
        while self.is_open {
            self.hand_out(&tasks);
            let room = self.limit.saturating_sub(self.held.count());
            self.pull.ask(room, self.limit).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.step(&tasks) => {}
            }
            self.acknowledge(&end).await;
        }
        self.pull.stop().await;
        // After the barrier everything that was sent to us has arrived.
        if let Err(error) = self.scope.acknowledger.consumer.connection.barrier().await {
            tracing::warn!(%error, "what is under way is delivered again later");
        }
        self.pull.close().await;
        self.drain(tasks, end).await;
    }

    /// Finishes what has arrived; what is left when the grace period ends is delivered again.
    async fn drain(&mut self, tasks: TaskTracker, end: CancellationToken) {
        while self.is_open || !self.ready.is_empty() || self.held.count() > 0 {
            self.hand_out(&tasks);
            tokio::select! {
                biased;
                () = end.cancelled() => {
                    let held = self.held.all();
                    self.scope.stop.cancel();
                    self.scope.acknowledger.nak_all(held).await;
                    return;
                }
                () = self.step(&tasks) => {}
            }
            self.acknowledge(&end).await;
        }
    }

    /// Acknowledges together what the last step has handled in place.
    async fn acknowledge(&mut self, end: &CancellationToken) {
        if self.done.is_empty() {
            return;
        }
        tokio::select! {
            biased;
            () = self.scope.acknowledger.acknowledge(&mut self.done) => {}
            // A connection without room for it: they will be delivered again.
            () = end.cancelled() => {}
        }
        self.done.clear();
    }

    /// Waits for the next thing to happen.
    async fn step(&mut self, tasks: &TaskTracker) {
        tokio::select! {
            biased;
            _ = self.progress.tick() => self.scope.acknowledger.progress(self.held.tick()).await,
            _ = self.look.tick() => self.pull.look(),
            pulled = self.pull.next(), if self.is_open => {
                self.take(pulled, tasks);
                for _ in 1..AT_A_TIME {
                    match self.pull.next_now() {
                        Some(pulled) if self.is_open => self.take(pulled, tasks),
                        _ => break,
                    }
                    // What was handled is not to wait for handlers that take long.
                    if !self.done.is_empty() && !self.scope.cost.is_short() {
                        break;
                    }
                }
                self.watch.stop(&self.scope.cost);
            }
            () = self.held.freed.notified() => {}
        }
    }

    fn take(&mut self, pulled: Option<PullOutcome>, tasks: &TaskTracker) {
        let message = match pulled {
            Some(PullOutcome::Message(message)) => message,
            Some(PullOutcome::Nothing) => return,
            None => {
                self.is_open = false;
                return;
            }
        };
        match PendingDelivery::read(message, &self.scope.acknowledger.consumer.stream) {
            Ok(job) => {
                self.scope.acknowledger.counters.record_received();
                if let Some(mut job) = self.try_in_place(job, tasks) {
                    job.hold(&self.held);
                    self.ready.push_back(job);
                }
            }
            Err(subject) => tracing::warn!(%subject, "dropped a message that is no delivery"),
        }
    }

    /// Handles a delivery on the spot, if its handler is known to be short, nobody waits before it
    /// and a worker is free; gives it back if not. What has to wait after all goes on in a task.
    fn try_in_place(
        &mut self,
        mut job: PendingDelivery,
        tasks: &TaskTracker,
    ) -> Option<PendingDelivery> {
        let Some(inline) = &mut self.inline else {
            return Some(job);
        };
        let is_free = self.ready.is_empty() && self.workers.running() < self.workers.limit();
        // What comes again may have been tried often enough.
        if !is_free || !self.scope.cost.is_short() || job.delivery.is_redelivered() {
            return Some(job);
        }
        let Ok((ctx, payload)) = self
            .scope
            .acknowledger
            .receive(&job, inline.reusable_context())
        else {
            return Some(job);
        };
        self.watch.start();
        let handled = inline.handle(ctx, payload);
        self.watch.count(&self.scope.cost);
        if matches!(handled, Ok(Ok(()))) {
            self.done.push(job.reply);
            return None;
        }
        let place = self.place();
        job.hold(&self.held);
        let scope = Arc::clone(&self.scope);
        tasks.spawn(async move {
            let _place = place;
            let settling = async {
                let handled = match handled {
                    Ok(handled) => Some(handled),
                    Err(handler) => handler.run(None, &scope.stop).await,
                };
                if let Some(handled) = handled {
                    scope.acknowledger.ack_or_nak(&job, handled).await;
                }
            };
            tokio::select! {
                biased;
                () = settling => {}
                () = scope.stop.cancelled() => {}
            }
        });
        None
    }

    fn place(&self) -> Option<WorkerPermit> {
        self.workers.try_acquire().then(|| WorkerPermit {
            workers: Arc::clone(&self.workers),
            held: Arc::clone(&self.held),
        })
    }

    /// Starts as many handlers as there are workers free and events ready. A handler that is known
    /// to be short runs in place.
    fn hand_out(&mut self, tasks: &TaskTracker) {
        while !self.ready.is_empty() {
            let Some(place) = self.place() else {
                return;
            };
            let jobs = self.together();
            let mut handling = self.handler.handle(jobs, Arc::clone(&self.scope));
            if self.scope.cost.is_short() {
                // A handler that has to wait is polled again, by a task that can.
                let mut cx = TaskContext::from_waker(Waker::noop());
                if handling.as_mut().poll(&mut cx).is_ready() {
                    continue;
                }
            }
            let scope = Arc::clone(&self.scope);
            tasks.spawn(async move {
                let _place = place;
                tokio::select! {
                    biased;
                    () = handling => {}
                    () = scope.stop.cancelled() => {}
                }
            });
        }
    }

    /// The next deliveries for one handler.
    fn together(&mut self) -> Vec<PendingDelivery> {
        let is_alone = |job: &PendingDelivery| job.delivery.count() >= ALONE_FROM;
        let count = match self.ready.front() {
            Some(first) if is_alone(first) => 1,
            _ => self
                .ready
                .iter()
                .take(self.batch)
                .take_while(|job| !is_alone(job))
                .count(),
        };
        self.ready.drain(..count).collect()
    }
}

impl Drop for WorkerPermit {
    fn drop(&mut self) {
        self.workers.release();
        self.held.freed.notify_one();
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
