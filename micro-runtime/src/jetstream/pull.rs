//! `PullSubscription`: requests deliveries of a durable consumer, and recovers from lost servers, leaders
//! and consumers.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use async_nats::Message;

use crate::error::Error;
use crate::event::EventCounters;
use crate::jetstream::consumer::Consumer;
use crate::jetstream::pull_requests::{PullMessage, PullRequests};
use crate::log_limit::LogLimit;

/// Wait before the first attempt to restore a consumer; it doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
/// Maximum wait between two attempts to restore a consumer.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Wait before events are requested again after NATS has refused it. Permissions change when an operator changes
/// them, and each attempt is a line in the log of NATS.
const REFUSED_BACKOFF: Duration = Duration::from_secs(5);

/// The deliveries of one durable consumer.
///
/// async-nats has a pull consumer of its own, as a stream. It requests the next batch by itself, whether or
/// not there is room for it here, and leaves the recovery of a deleted consumer to its user.
pub(super) struct PullSubscription {
    consumer: Arc<Consumer>,
    requests: PullRequests,
    counters: Arc<EventCounters>,
    /// Present while the consumer is lost; ready once it exists again.
    recovery: Option<Recovery>,
    /// Of attempts to restore it that fail: each is several seconds behind the last one, without an end.
    failure_log: Arc<LogLimit>,
    loss_log: LogLimit,
    /// Of requests that the consumer does not take.
    rejection_log: LogLimit,
    /// Whether NATS has revoked the subscription, which the recovery makes again.
    is_revoked: bool,
    is_stopping: bool,
}

/// Restores a consumer. Returns the requests to go on with, where NATS has revoked the subscription of the last ones.
type Recovery = Pin<Box<dyn Future<Output = Option<PullRequests>> + Send>>;

/// Result of waiting for a message.
pub(super) enum PullOutcome {
    /// A delivery.
    Message(Message),
    /// A control message, or the end of a recovery: the room for [`PullSubscription::request`] may have
    /// changed.
    Control,
}

impl PullSubscription {
    /// Subscribes to a new inbox, without requesting anything yet.
    ///
    /// # Errors
    ///
    /// As [`PullRequests::start`].
    pub(super) async fn start(
        consumer: Arc<Consumer>,
        counters: Arc<EventCounters>,
    ) -> Result<Self, Error> {
        let connection = &consumer.connection;
        Ok(Self {
            requests: PullRequests::start(connection, &consumer.stream, consumer.name()).await?,
            recovery: None,
            failure_log: Arc::default(),
            loss_log: LogLimit::default(),
            rejection_log: LogLimit::default(),
            is_revoked: false,
            is_stopping: false,
            counters,
            consumer,
        })
    }

    /// Waits for a message, or for a reason to [`request`](Self::request) again; `None` once the
    /// subscription has ended. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<PullOutcome> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Returns a message that has arrived already.
    pub(super) fn try_next(&mut self) -> Option<Option<PullOutcome>> {
        if self.recovery.is_some() {
            return None;
        }
        match self.poll_next(&mut TaskContext::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<PullOutcome>> {
        // Messages of the lost consumer may still arrive.
        match self.requests.poll_next(cx) {
            Poll::Ready(None) if self.is_revoked => {}
            Poll::Ready(message) => {
                return Poll::Ready(message.map(|message| self.outcome(message)));
            }
            Poll::Pending => {}
        }
        if let Some(recovery) = &mut self.recovery
            && let Poll::Ready(renewed) = recovery.as_mut().poll(cx)
        {
            self.recovery = None;
            self.is_revoked = false;
            match renewed {
                Some(requests) => self.requests = requests,
                None => self.requests.reset(),
            }
            return Poll::Ready(Some(PullOutcome::Control));
        }
        Poll::Pending
    }

    fn outcome(&mut self, message: PullMessage) -> PullOutcome {
        match message {
            PullMessage::Delivery(message) => return PullOutcome::Message(message),
            PullMessage::Control | PullMessage::Idle(_) => {}
            PullMessage::ConsumerLost(cause) => self.lose(&cause),
            PullMessage::Rejected(cause) => {
                let consumer = Arc::clone(&self.consumer);
                self.rejection_log.write(move |count| {
                    let (stream, consumer) = (&*consumer.stream, consumer.name());
                    tracing::error!(
                        stream,
                        consumer,
                        cause,
                        count,
                        "JetStream rejects the requests for events; asking again"
                    );
                });
            }
            // Logged as every refusal of this kind.
            PullMessage::Refused(refusal) => {
                self.counters.record_refusal(refusal.status());
                self.recover(REFUSED_BACKOFF);
            }
            PullMessage::Revoked(refusal) => {
                self.counters.record_refusal(refusal.status());
                // One that has begun would not subscribe again.
                self.recovery = None;
                self.is_revoked = !self.is_stopping;
                if self.is_revoked {
                    self.recover(REFUSED_BACKOFF);
                }
            }
        }
        PullOutcome::Control
    }

    /// Requests as many messages as are `free` and not requested yet, unless the consumer is lost or
    /// [it is not worth a message](PullRequests::next_request).
    pub(super) async fn request(&mut self, free: usize, max_in_flight: usize) {
        if self.recovery.is_some() || !self.is_verified() {
            return;
        }
        let Some(request) = self.requests.next_request(free, max_in_flight) else {
            return;
        };
        if self.consumer.connection.publish(request).await.is_err() {
            tracing::debug!("the connection to NATS is closed");
        }
    }

    /// Detects a new connection. Must be called every
    /// [`HEALTH_CHECK_INTERVAL`](crate::jetstream::reconnect_detector::HEALTH_CHECK_INTERVAL) or so.
    pub(super) fn check_health(&mut self) {
        if self.requests.has_reconnected() {
            self.requests.reset();
        }
        // After a reconnect: the stream may have been declared anew, or be gone with a server that kept it in memory.
        if !self.is_verified() {
            self.recover(INITIAL_BACKOFF);
        }
    }

    /// Returns whether the stream is known to be the one that deliveries came from.
    fn is_verified(&self) -> bool {
        let Consumer {
            generation,
            connection,
            ..
        } = &*self.consumer;
        generation.is_verified(connection)
    }

    /// Stops the server from sending more, while messages on their way still arrive.
    pub(super) async fn stop(&mut self) {
        self.recovery = None;
        self.is_revoked = false;
        self.is_stopping = true;
        self.consumer.generation.release();
        self.requests.stop().await;
    }

    /// Ends the subscription behind the messages that have arrived.
    pub(super) async fn close(&mut self) {
        self.requests.close().await;
    }

    /// Looks a lost consumer up. Acknowledgments wait until it is known whether its stream is still the same.
    fn lose(&mut self, cause: &str) {
        if self.is_stopping {
            return;
        }
        self.consumer.generation.suspend();
        if self.recovery.is_none() {
            let (consumer, why) = (Arc::clone(&self.consumer), cause.to_owned());
            self.loss_log.write(move |count| {
                let (stream, consumer) = (&*consumer.stream, consumer.name());
                tracing::warn!(
                    stream,
                    consumer,
                    why,
                    count,
                    "lost a durable consumer; looking it up"
                );
            });
        }
        self.recover(INITIAL_BACKOFF);
    }

    /// Starts to look the consumer up, after a wait of `first`, and to create it anew if it was deleted, until that
    /// succeeds. Then it subscribes again, if NATS has revoked the subscription.
    ///
    /// The waits are random, between half and all of the backoff: all processes of a consumer lose it at the
    /// same moment, and must not all ask at the same moment.
    fn recover(&mut self, first: Duration) {
        if self.recovery.is_some() || self.is_stopping {
            return;
        }
        let (consumer, is_revoked) = (Arc::clone(&self.consumer), self.is_revoked);
        let log = Arc::clone(&self.failure_log);
        self.recovery = Some(Box::pin(async move {
            let mut backoff = first;
            loop {
                let wait = backoff.mul_f64(0.5 + fastrand::f64() / 2.0);
                if consumer.connection.pause(wait).await {
                    backoff = INITIAL_BACKOFF;
                    continue;
                }
                match restore(&consumer, is_revoked).await {
                    Ok(requests) => return requests,
                    Err(error) => {
                        let consumer = Arc::clone(&consumer);
                        log.write(move |count| {
                            let (stream, consumer) = (&*consumer.stream, consumer.name());
                            tracing::error!(stream, consumer, %error, count, "cannot restore a durable consumer; retrying");
                        });
                    }
                }
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }));
    }
}

/// Restores a consumer, and subscribes to a new inbox for its deliveries if NATS has revoked the subscription.
async fn restore(consumer: &Consumer, is_revoked: bool) -> Result<Option<PullRequests>, Error> {
    consumer.restore().await?;
    if !is_revoked {
        return Ok(None);
    }
    let (stream, name) = (&consumer.stream, consumer.name());
    let requests = PullRequests::start(&consumer.connection, stream, name).await?;
    Ok(Some(requests))
}
