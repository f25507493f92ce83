//! `PullSubscription`: requests deliveries of a durable consumer, and recovers from lost servers, leaders
//! and consumers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};

use crate::bus::Outgoing;
use crate::bus::new_inbox;
use crate::error::Error;
use crate::jetstream::consumer::Consumer;
use crate::jetstream::error::jetstream_error;
use crate::jetstream::reconnect_detector::ReconnectDetector;
use crate::wire::header::stored::PENDING_MESSAGES;
use crate::wire::subject;

/// Time after which the server ends a pull request that has not been fulfilled.
const REQUEST_EXPIRY: Duration = Duration::from_secs(30);
/// Interval at which the server sends a heartbeat while a request waits for messages.
const IDLE_HEARTBEAT: Duration = Duration::from_secs(5);
/// Time without any message, while a request waits, after which the consumer counts as lost: two heartbeats
/// that did not come, and a second for their way.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(11);
/// Wait before the first attempt to restore a consumer; it doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
/// Maximum wait between two attempts to restore a consumer.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// The deliveries of one consumer that this process requests, under one inbox.
///
/// JetStream sends as many messages as were requested, and control messages with a status when a request
/// ends (ADR-13). `outstanding` counts the messages that are requested and not received; everything that
/// can make the count wrong resets it: a new connection, and a consumer that was restored. Too low a count
/// only requests more than there is room for; one that is too high would stop the consumer in silence,
/// which the heartbeat exists to notice.
///
/// async-nats has a pull consumer of its own, as a stream. It requests the next batch by itself, whether or
/// not there is room for it here, and leaves the recovery of a deleted consumer to its user.
pub(super) struct PullSubscription {
    consumer: Arc<Consumer>,
    subscription: Subscriber,
    inbox: Subject,
    /// Subject of pull requests, `$JS.API.CONSUMER.MSG.NEXT.…`.
    request_subject: Subject,
    /// Number of messages that were requested and have not arrived.
    outstanding: usize,
    /// Time of the last message, or of the first request after a pause.
    last_received: Instant,
    reconnects: ReconnectDetector,
    /// Present while the consumer is lost; ready once it exists again.
    recovery: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Result of waiting for a message.
pub(super) enum PullOutcome {
    /// A delivery.
    Message(Message),
    /// A control message, or the end of a recovery: the room for [`PullSubscription::request`] may have
    /// changed.
    Control,
}

/// Kind of a message that came to the inbox.
enum PullMessage {
    Delivery,
    /// The consumer exists and has nothing to deliver.
    Heartbeat,
    /// A request has ended with so many messages undelivered; all of them, if the server does not report
    /// the number.
    RequestEnded(Option<usize>),
    /// The consumer, its leader or its server is gone.
    ConsumerLost,
}

impl PullSubscription {
    /// Subscribes to a new inbox, without requesting anything yet.
    pub(super) async fn start(consumer: Arc<Consumer>) -> Result<Self, Error> {
        let client = &consumer.connection.jetstream_or_error()?.client;
        let inbox = new_inbox(client);
        let subscription = client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| jetstream_error("let us subscribe to our own inbox", error))?;
        Ok(Self {
            subscription,
            inbox,
            request_subject: subject::pull(&consumer.stream, consumer.name()),
            outstanding: 0,
            last_received: Instant::now(),
            reconnects: ReconnectDetector::new(&consumer.connection),
            recovery: None,
            consumer,
        })
    }

    /// Waits for a message, or for a reason to [`request`](Self::request) again; `None` once the
    /// subscription has ended. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<PullOutcome> {
        let message = match &mut self.recovery {
            None => self.subscription.next().await?,
            // Messages of the lost consumer may still arrive.
            Some(recovery) => tokio::select! {
                message = self.subscription.next() => message?,
                () = recovery => {
                    self.recovery = None;
                    self.reset_requests();
                    return Some(PullOutcome::Control);
                }
            },
        };
        self.last_received = Instant::now();
        Some(self.read(message))
    }

    /// Returns a message that has arrived already; for a loop that has just got one from
    /// [`next`](Self::next), and so needs no clock reading.
    pub(super) fn try_next(&mut self) -> Option<Option<PullOutcome>> {
        if self.recovery.is_some() {
            return None;
        }
        let message = self.subscription.next().now_or_never()?;
        Some(message.map(|message| self.read(message)))
    }

    fn read(&mut self, message: Message) -> PullOutcome {
        match classify(&message) {
            PullMessage::Delivery => {
                self.outstanding = self.outstanding.saturating_sub(1);
                return PullOutcome::Message(message);
            }
            PullMessage::Heartbeat => {}
            PullMessage::RequestEnded(undelivered) => {
                let undelivered = undelivered.unwrap_or(self.outstanding);
                self.outstanding = self.outstanding.saturating_sub(undelivered);
            }
            PullMessage::ConsumerLost => {
                self.recover(message.description.as_deref().unwrap_or_default());
            }
        }
        PullOutcome::Control
    }

    /// Requests as many messages as are `free` and not requested yet.
    ///
    /// It waits until that is half of `max_in_flight`, or nothing is requested at all: one request per
    /// message would double the messages that the server handles.
    pub(super) async fn request(&mut self, free: usize, max_in_flight: usize) {
        let batch = free.saturating_sub(self.outstanding);
        let is_worthwhile =
            batch > 0 && (batch >= max_in_flight.div_ceil(2) || self.outstanding == 0);
        if !is_worthwhile || self.recovery.is_some() {
            return;
        }
        if self.outstanding == 0 {
            self.last_received = Instant::now();
        }
        self.outstanding += batch;
        let request = format!(
            r#"{{"batch":{batch},"expires":{},"idle_heartbeat":{}}}"#,
            REQUEST_EXPIRY.as_nanos(),
            IDLE_HEARTBEAT.as_nanos()
        );
        let outgoing = Outgoing {
            reply: Some(self.inbox.clone()),
            ..Outgoing::to(self.request_subject.clone(), Bytes::from(request))
        };
        if self.consumer.connection.publish(outgoing).await.is_err() {
            tracing::debug!("the connection to NATS is closed");
        }
    }

    /// Detects a new connection and a consumer that is silent. Must be called every
    /// [`HEALTH_CHECK_INTERVAL`](crate::jetstream::reconnect_detector::HEALTH_CHECK_INTERVAL) or so.
    pub(super) fn check_health(&mut self) {
        if self.reconnects.has_reconnected() {
            // The server has forgotten the requests of the old connection.
            self.reset_requests();
        }
        let is_waiting = self.outstanding > 0 && self.recovery.is_none();
        if is_waiting && self.last_received.elapsed() > HEARTBEAT_TIMEOUT {
            self.recover("no heartbeat");
        }
    }

    /// Stops the server from sending more, while messages on their way still arrive, as
    /// [`CarrierSubscription::stop`](crate::bus::CarrierSubscription::stop) does.
    pub(super) async fn stop(&mut self) {
        self.recovery = None;
        if let Err(error) = self.subscription.unsubscribe_after(u64::MAX).await {
            tracing::debug!(%error, "the connection is closed already");
        }
    }

    /// Ends the subscription behind the messages that have arrived.
    pub(super) async fn close(&mut self) {
        if let Err(error) = self.subscription.unsubscribe().await {
            tracing::debug!(%error, "the connection is closed already");
        }
    }

    fn reset_requests(&mut self) {
        self.outstanding = 0;
        self.last_received = Instant::now();
    }

    /// Starts to look the consumer up, and to create it anew if it was deleted, until that succeeds.
    ///
    /// The waits are random, between half and all of the backoff: all processes of a consumer lose it at the
    /// same moment, and must not all ask at the same moment.
    fn recover(&mut self, cause: &str) {
        if self.recovery.is_some() {
            return;
        }
        let consumer = Arc::clone(&self.consumer);
        tracing::warn!(
            stream = &*consumer.stream,
            consumer = consumer.name(),
            why = cause,
            "lost a durable consumer; looking it up"
        );
        self.recovery = Some(Box::pin(async move {
            let mut backoff = INITIAL_BACKOFF;
            loop {
                tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                match consumer.restore().await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::error!(%error, "cannot restore a durable consumer; retrying");
                    }
                }
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }));
    }
}

/// Returns the kind of a message by its status (ADR-13). 404 and 408 end a request: no messages, or its
/// expiry. So do two texts of 409; all others of 409, such as "Consumer Deleted" and "Leadership Change",
/// and 503 leave the consumer unusable.
fn classify(message: &Message) -> PullMessage {
    let Some(status) = message.status else {
        return PullMessage::Delivery;
    };
    let undelivered = || {
        let headers = message.headers.as_ref()?;
        headers.get(PENDING_MESSAGES)?.as_str().parse().ok()
    };
    let text = message.description.as_deref().unwrap_or_default();
    match status.as_u16() {
        100 => PullMessage::Heartbeat,
        404 | 408 => PullMessage::RequestEnded(undelivered()),
        409 if text == "Batch Completed" || text.starts_with("Message Size") => {
            PullMessage::RequestEnded(undelivered())
        }
        _ => PullMessage::ConsumerLost,
    }
}
