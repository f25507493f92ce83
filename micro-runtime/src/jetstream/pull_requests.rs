//! `PullRequests`: what was requested of a consumer under one inbox, and what came of it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use async_nats::{Message, Subject};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::{Sleep, sleep};

use crate::bus::{CarrierSubscription, Concern, Connection, Outgoing, Refusal};
use crate::error::Error;
use crate::jetstream::heartbeat_watch::HeartbeatWatch;
use crate::jetstream::pull_limits::PullLimits;
use crate::jetstream::pull_status::{HeartbeatPosition, PullStatus};
use crate::jetstream::reconnect_detector::ReconnectDetector;
use crate::wire::subject;

/// Maximum wait before events are requested again of a consumer whose leader has changed. It is random, at least a
/// fifth of this, since all processes of a consumer learn of the change at the same moment.
const MAX_LEADER_WAIT: Duration = Duration::from_millis(500);
/// Wait before events are requested again after a request was rejected for a cause that the next one has as well.
const REJECTED_BACKOFF: Duration = Duration::from_secs(5);

/// The deliveries of one consumer that this process requests, under one inbox.
///
/// JetStream sends as many messages as were requested, and control messages with a status when a request
/// ends (ADR-13). Requests are fulfilled one after the other, so that `requests` has what each has left, the oldest
/// first; everything that can make the counts wrong resets them: a new connection, and a consumer that was lost. Too
/// low a count only requests more than there is room for; one that is too high would stop the consumer in silence,
/// which the heartbeat exists to notice.
pub(super) struct PullRequests {
    connection: Arc<Connection>,
    subscription: CarrierSubscription,
    inbox: Subject,
    /// Subject of pull requests, `$JS.API.CONSUMER.MSG.NEXT.…`.
    request_subject: Subject,
    /// Number of messages that each request has left, from the oldest to the newest.
    requests: VecDeque<usize>,
    limits: PullLimits,
    /// Number of deliveries since a request has ended for its bytes.
    deliveries: u64,
    /// Whether the consumer has had no request to fulfill, or no event to deliver, since the last delivery.
    has_paused: bool,
    /// The same of the last delivery and the one before it.
    is_behind_pause: bool,
    heartbeats: HeartbeatWatch,
    /// Present while nothing is requested.
    rest: Option<Pin<Box<Sleep>>>,
    reconnects: ReconnectDetector,
    /// Ready once NATS refuses a request.
    refused: BoxFuture<'static, Refusal>,
}

/// A message that came to the inbox.
pub(super) enum PullMessage {
    Delivery(Message),
    /// The consumer exists and has nothing to deliver.
    Idle(HeartbeatPosition),
    /// A request has ended, or a rest: there may be room for another.
    Control,
    /// The consumer, its leader or its server is gone, for this reason.
    ConsumerLost(String),
    /// The consumer takes no such request, for this reason; the next one rests.
    Rejected(String),
    /// NATS does not let this user request events.
    Refused(Refusal),
    /// NATS does not let this user receive them any more; the subscription has ended.
    Revoked(Refusal),
}

impl PullRequests {
    /// Subscribes to a new inbox, without requesting anything yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Permission`](crate::ErrorKind::Permission) if NATS refuses the subscription,
    /// [`ErrorKind::Connect`](crate::ErrorKind::Connect) or [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if it
    /// does not confirm it.
    pub(super) async fn start(
        connection: &Arc<Connection>,
        stream: &str,
        consumer: &str,
    ) -> Result<Self, Error> {
        let inbox = connection.new_inbox();
        let subscription = connection.subscribe_confirmed(inbox.clone(), None).await?;
        let request_subject = subject::pull(connection.jetstream_api(), stream, consumer);
        Ok(Self {
            subscription,
            refused: refused(connection, &request_subject),
            inbox,
            request_subject,
            requests: VecDeque::new(),
            limits: PullLimits::new(connection),
            deliveries: 0,
            has_paused: false,
            is_behind_pause: false,
            heartbeats: HeartbeatWatch::new(),
            rest: None,
            reconnects: ReconnectDetector::new(connection),
            connection: Arc::clone(connection),
        })
    }

    /// Polls for a message; `None` once the subscription has ended.
    pub(super) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<PullMessage>> {
        if let Poll::Ready(message) = self.subscription.poll_next(cx) {
            self.heartbeats.received();
            return Poll::Ready(match message {
                Some(message) => Some(self.read(message)),
                None => self.subscription.take_refusal().map(PullMessage::Revoked),
            });
        }
        if let Some(rest) = &mut self.rest
            && rest.as_mut().poll(cx).is_ready()
        {
            self.rest = None;
            return Poll::Ready(Some(PullMessage::Control));
        }
        if !self.requests.is_empty() && self.heartbeats.poll_silent(cx).is_ready() {
            self.reset();
            let cause = "no heartbeat".to_owned();
            return Poll::Ready(Some(PullMessage::ConsumerLost(cause)));
        }
        let refusal = ready!(self.refused.poll_unpin(cx));
        self.refused = refused(&self.connection, &self.request_subject);
        Poll::Ready(Some(PullMessage::Refused(refusal)))
    }

    /// Counts a message by its status.
    fn read(&mut self, message: Message) -> PullMessage {
        let Some(code) = message.status else {
            self.count_delivery();
            return PullMessage::Delivery(message);
        };
        self.has_paused = true;
        let text = message.description.as_deref().unwrap_or_default();
        match PullStatus::read(code.as_u16(), text, message.headers.as_ref()) {
            PullStatus::Heartbeat(Some(position)) => return PullMessage::Idle(position),
            PullStatus::Heartbeat(None) => {}
            PullStatus::Ended => drop(self.requests.pop_front()),
            PullStatus::OutOfBytes => return self.out_of_bytes(text),
            PullStatus::Interrupted => {
                self.reset();
                self.rest(MAX_LEADER_WAIT.mul_f64(0.2 + 0.8 * fastrand::f64()));
            }
            PullStatus::Exceeded(limit) => {
                self.requests.pop_back();
                if !self.limits.apply(limit) {
                    return self.rejected(text);
                }
            }
            PullStatus::Rejected => {
                self.requests.pop_back();
                return self.rejected(text);
            }
            PullStatus::Lost => {
                self.reset();
                return PullMessage::ConsumerLost(match text {
                    "" => format!("status {code}"),
                    text => text.to_owned(),
                });
            }
        }
        PullMessage::Control
    }

    fn count_delivery(&mut self) {
        self.deliveries += 1;
        self.is_behind_pause = std::mem::take(&mut self.has_paused);
        let Some(left) = self.requests.front_mut() else {
            return;
        };
        *left -= 1;
        if *left == 0 {
            self.requests.pop_front();
            self.has_paused = true;
        }
    }

    /// Ends the oldest request, whose bytes do not suffice for the next event. Where they sufficed for none, the event
    /// is longer than any that NATS takes now, and further requests are for more.
    fn out_of_bytes(&mut self, text: &str) -> PullMessage {
        self.requests.pop_front();
        match std::mem::take(&mut self.deliveries) {
            0 if !self.limits.enlarge() => self.rejected(text),
            _ => PullMessage::Control,
        }
    }

    fn rejected(&mut self, text: &str) -> PullMessage {
        self.rest(REJECTED_BACKOFF);
        PullMessage::Rejected(text.to_owned())
    }

    /// Requests nothing for so long.
    fn rest(&mut self, wait: Duration) {
        self.rest = Some(Box::pin(sleep(wait)));
    }

    /// Returns the request for as many messages as are `free` and not requested yet; `None` if it is not worth
    /// a message.
    ///
    /// That is until it would request half of `max_in_flight`, or nothing is requested at all: one request per
    /// message would double the messages that the server handles.
    pub(super) fn next_request(&mut self, free: usize, max_in_flight: usize) -> Option<Outgoing> {
        if self.rest.is_some() {
            return None;
        }
        let requested: usize = self.requests.iter().sum();
        let batch = free.saturating_sub(requested).min(self.limits.max_batch());
        let is_worthwhile =
            batch > 0 && (batch >= max_in_flight.div_ceil(2) || self.requests.is_empty());
        is_worthwhile.then(|| {
            let request = self.limits.request(batch);
            self.requested(batch, request)
        })
    }

    /// Returns a request for one message, with heartbeats that come soon: their position shows whether there is one.
    pub(super) fn probe(&mut self) -> Outgoing {
        let request = self.limits.probe();
        self.requested(1, request)
    }

    fn requested(&mut self, batch: usize, request: String) -> Outgoing {
        if self.requests.is_empty() {
            self.heartbeats.received();
        }
        self.requests.push_back(batch);
        Outgoing {
            reply: Some(self.inbox.clone()),
            ..Outgoing::to(self.request_subject.clone(), Bytes::from(request))
        }
    }

    /// Returns whether the consumer had no request to fulfill, or no event to deliver, before the last delivery: only
    /// then does time pass at the server between two deliveries.
    pub(super) fn is_behind_pause(&self) -> bool {
        self.is_behind_pause
    }

    /// Returns the connection that requests are published on.
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Returns whether the connection was made anew since the last call: the server has forgotten the requests
    /// of the old one.
    pub(super) fn has_reconnected(&mut self) -> bool {
        self.reconnects.has_reconnected()
    }

    /// Counts nothing as requested any more.
    pub(super) fn reset(&mut self) {
        self.requests.clear();
        self.heartbeats.received();
    }

    /// Stops the server from sending more, while messages on their way still arrive; see
    /// [`CarrierSubscription::stop`].
    pub(super) async fn stop(&mut self) {
        self.subscription.stop().await;
    }

    /// Ends the subscription behind the messages that have arrived.
    pub(super) async fn close(&mut self) {
        self.subscription.close().await;
    }
}

/// Waits until NATS refuses a request.
fn refused(connection: &Connection, request_subject: &Subject) -> BoxFuture<'static, Refusal> {
    let request = request_subject.clone();
    let watch = connection
        .refusals()
        .watch_as(Concern::Pull, move |refusal| {
            refusal.is_of_publish(&request)
        });
    let in_use = connection.depend_on_publish(request_subject);
    async move {
        let refusal = watch.refused().await;
        drop(in_use);
        refusal
    }
    .boxed()
}
