//! The loop of one durable consumer: asks, hands out, reports progress, and drains when it is to stop.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, Instant};

use async_nats::Subject;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::event::InlineRunner;
use crate::execute::{PollCost, PollTimer};
use crate::jetstream::acknowledger::Acknowledger;
use crate::jetstream::in_flight::InFlight;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::jetstream::pull::{PullOutcome, PullSubscription};

/// How often the loop looks whether the server still knows of it.
const HEALTH_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// So many messages are taken in before the rest of the loop has its turn.
const AT_A_TIME: usize = 64;
/// From this delivery on an event comes alone, so that it takes no others of its batch with it.
const ALONE_FROM: u64 = 3;

/// What is done with deliveries that come together.
pub(super) trait DeliveryHandler: Send + Sync + 'static {
    /// Room to handle deliveries in place, one by one; `None` for what takes several together.
    fn in_place(&self) -> Option<InlineRunner> {
        None
    }

    /// Handles and answers all of them.
    fn handle(&self, jobs: Vec<PendingDelivery>, settle: Arc<Acknowledger>) -> BatchFuture;
}

pub(super) type BatchFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One consumer at work in this process.
pub(super) struct ConsumerLoop {
    pull: PullSubscription,
    settle: Arc<Acknowledger>,
    handler: Arc<dyn DeliveryHandler>,
    in_place: Option<InlineRunner>,
    held: Arc<InFlight>,
    ready: VecDeque<PendingDelivery>,
    /// What was handled in place and is to be acknowledged.
    done: Vec<Subject>,
    workers: Arc<Semaphore>,
    pace: Arc<PollCost>,
    watch: PollTimer,
    /// How many deliveries a handler gets together at most.
    batch: usize,
    limit: usize,
    is_open: bool,
    /// Ends the handlers that are left when the grace period is over.
    abandon: CancellationToken,
    progress: Interval,
    look: Interval,
}

/// A place among the workers; the loop is told when it is free again.
struct WorkerPermit {
    permit: Option<OwnedSemaphorePermit>,
    held: Arc<InFlight>,
}

impl ConsumerLoop {
    pub(super) async fn start(
        settle: Acknowledger,
        handler: Arc<dyn DeliveryHandler>,
        workers: usize,
        batch: usize,
    ) -> Result<Self, Error> {
        let settle = Arc::new(settle);
        let workers = match settle.durable.is_ordered {
            true => 1,
            false => workers,
        };
        Ok(Self {
            pull: PullSubscription::start(Arc::clone(&settle.consumer)).await?,
            in_place: handler.in_place(),
            handler,
            held: Arc::default(),
            ready: VecDeque::new(),
            done: Vec::new(),
            workers: Arc::new(Semaphore::new(workers)),
            pace: Arc::new(PollCost::new()),
            watch: PollTimer::default(),
            batch,
            limit: settle.durable.limit(workers.saturating_mul(batch)),
            is_open: true,
            abandon: CancellationToken::new(),
            progress: ticks(settle.durable.ack_wait / 3),
            look: ticks(HEALTH_CHECK_INTERVAL),
            settle,
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
        if let Err(error) = self.settle.consumer.connection.barrier().await {
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
                    self.abandon.cancel();
                    self.settle.nak_all(held).await;
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
            () = self.settle.acknowledge(&mut self.done) => {}
            // A connection without room for it: they will be delivered again.
            () = end.cancelled() => {}
        }
        self.done.clear();
    }

    /// Waits for the next thing to happen.
    async fn step(&mut self, tasks: &TaskTracker) {
        tokio::select! {
            biased;
            _ = self.progress.tick() => self.settle.progress(self.held.tick()).await,
            _ = self.look.tick() => self.pull.look(),
            pulled = self.pull.next(), if self.is_open => {
                self.take(pulled, tasks);
                for _ in 1..AT_A_TIME {
                    match self.pull.next_now() {
                        Some(pulled) if self.is_open => self.take(pulled, tasks),
                        _ => break,
                    }
                    // What was handled is not to wait for handlers that take long.
                    if !self.done.is_empty() && !self.pace.is_short() {
                        break;
                    }
                }
                self.watch.stop(&self.pace);
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
        match PendingDelivery::read(message, &self.settle.consumer.stream) {
            Ok(job) => {
                self.settle.counters.received();
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
        let Some(in_place) = &mut self.in_place else {
            return Some(job);
        };
        let is_free = self.ready.is_empty() && self.workers.available_permits() > 0;
        // What comes again may have been tried often enough.
        if !is_free || !self.pace.is_short() || job.delivery.is_redelivered() {
            return Some(job);
        }
        let Ok(ctx) = self.settle.context(&job, in_place.spare()) else {
            return Some(job);
        };
        self.watch.start();
        let handled = in_place.handle(ctx, job.payload.clone());
        self.watch.count(&self.pace);
        if matches!(handled, Ok(Ok(()))) {
            self.done.push(job.reply);
            return None;
        }
        let place = self.place();
        job.hold(&self.held);
        let (settle, abandon) = (Arc::clone(&self.settle), self.abandon.clone());
        tasks.spawn(async move {
            let _place = place;
            let settling = async {
                let handled = match handled {
                    Ok(handled) => handled,
                    Err(started) => started.finish().await,
                };
                settle.ack_or_nak(&job, handled).await;
            };
            tokio::select! {
                biased;
                () = settling => {}
                () = abandon.cancelled() => {}
            }
        });
        None
    }

    fn place(&self) -> Option<WorkerPermit> {
        let permit = Arc::clone(&self.workers).try_acquire_owned().ok()?;
        Some(WorkerPermit {
            permit: Some(permit),
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
            let mut handling = self.handler.handle(jobs, Arc::clone(&self.settle));
            if self.pace.is_short() {
                // Whoever is not ready is polled again, by its task.
                let mut cx = TaskContext::from_waker(Waker::noop());
                let started = Instant::now();
                let polled = handling.as_mut().poll(&mut cx);
                self.pace.record(started.elapsed());
                if polled.is_ready() {
                    continue;
                }
            }
            let pace = Arc::clone(&self.pace);
            let abandon = self.abandon.clone();
            tasks.spawn(async move {
                let _place = place;
                tokio::select! {
                    biased;
                    () = timed(handling, &pace) => {}
                    () = abandon.cancelled() => {}
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
        self.permit.take();
        self.held.freed.notify_one();
    }
}

/// Runs a handler, and takes note of its first poll.
async fn timed(mut handling: BatchFuture, pace: &PollCost) {
    let mut is_first = true;
    poll_fn(|cx| {
        let started = std::mem::take(&mut is_first).then(Instant::now);
        let polled = handling.as_mut().poll(cx);
        if let Some(started) = started {
            pace.record(started.elapsed());
        }
        match polled {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
