//! `PullRequests`: what was requested of a consumer under one inbox, and what came of it.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use async_nats::{Message, Subject};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::bus::{CarrierSubscription, Concern, Connection, Outgoing, Refusal};
use crate::error::Error;
use crate::jetstream::reconnect_detector::ReconnectDetector;
use crate::wire::header::stored::PENDING_MESSAGES;
use crate::wire::header::{find, parse_number};
use crate::wire::subject;

/// Time after which the server ends a pull request that has not been fulfilled.
const REQUEST_EXPIRY: Duration = Duration::from_secs(30);
/// Interval at which the server sends a heartbeat while a request waits for messages.
const IDLE_HEARTBEAT: Duration = Duration::from_secs(5);
/// Time without any message, while a request waits, after which the consumer counts as lost: two heartbeats
/// that did not come, and a second for their way.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(11);

/// The deliveries of one consumer that this process requests, under one inbox.
///
/// JetStream sends as many messages as were requested, and control messages with a status when a request
/// ends (ADR-13). `outstanding` counts the messages that are requested and not received; everything that
/// can make the count wrong resets it: a new connection, and a consumer that was restored. Too low a count
/// only requests more than there is room for; one that is too high would stop the consumer in silence,
/// which the heartbeat exists to notice.
pub(super) struct PullRequests {
    connection: Arc<Connection>,
    subscription: CarrierSubscription,
    inbox: Subject,
    /// Subject of pull requests, `$JS.API.CONSUMER.MSG.NEXT.…`.
    request_subject: Subject,
    /// Number of messages that were requested and have not arrived.
    outstanding: usize,
    /// Time of the last message, or of the first request after a pause.
    last_received: Instant,
    reconnects: ReconnectDetector,
    /// Ready once NATS refuses a request.
    refused: BoxFuture<'static, Refusal>,
}

/// A message that came to the inbox.
pub(super) enum PullMessage {
    Delivery(Message),
    /// The consumer exists and has nothing to deliver, or a request has ended: there may be room for another.
    Control,
    /// The consumer, its leader or its server is gone, for this reason.
    ConsumerLost(String),
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
            outstanding: 0,
            last_received: Instant::now(),
            reconnects: ReconnectDetector::new(connection),
            connection: Arc::clone(connection),
        })
    }

    /// Polls for a message; `None` once the subscription has ended.
    pub(super) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<PullMessage>> {
        let Poll::Ready(message) = self.subscription.poll_next(cx) else {
            let refusal = ready!(self.refused.poll_unpin(cx));
            self.refused = refused(&self.connection, &self.request_subject);
            return Poll::Ready(Some(PullMessage::Refused(refusal)));
        };
        self.last_received = Instant::now();
        Poll::Ready(match message {
            Some(message) => Some(self.read(message)),
            None => self.subscription.take_refusal().map(PullMessage::Revoked),
        })
    }

    /// Returns the kind of a message by its status (ADR-13). 404 and 408 end a request: no messages, or its
    /// expiry. So do two texts of 409; all others of 409, such as "Consumer Deleted" and "Leadership Change",
    /// and 503 leave the consumer unusable.
    fn read(&mut self, message: Message) -> PullMessage {
        let Some(status) = message.status else {
            self.outstanding = self.outstanding.saturating_sub(1);
            return PullMessage::Delivery(message);
        };
        let text = message.description.as_deref().unwrap_or_default();
        match status.as_u16() {
            100 => {}
            404 | 408 => self.end_request(&message),
            409 if text == "Batch Completed" || text.starts_with("Message Size") => {
                self.end_request(&message);
            }
            _ => return PullMessage::ConsumerLost(text.to_owned()),
        }
        PullMessage::Control
    }

    /// Counts the end of a request: its undelivered messages will not come. All of them, if the server does not
    /// report their number.
    fn end_request(&mut self, message: &Message) {
        let headers = message.headers.as_ref();
        let undelivered = headers
            .and_then(|headers| parse_number(find(headers, &PENDING_MESSAGES)?.as_str()))
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(self.outstanding);
        self.outstanding = self.outstanding.saturating_sub(undelivered);
    }

    /// Returns the request for as many messages as are `free` and not requested yet; `None` if it is not worth
    /// a message.
    ///
    /// That is until it would request half of `max_in_flight`, or nothing is requested at all: one request per
    /// message would double the messages that the server handles.
    pub(super) fn next_request(&mut self, free: usize, max_in_flight: usize) -> Option<Outgoing> {
        let batch = free.saturating_sub(self.outstanding);
        let is_worthwhile =
            batch > 0 && (batch >= max_in_flight.div_ceil(2) || self.outstanding == 0);
        if !is_worthwhile {
            return None;
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
        Some(Outgoing {
            reply: Some(self.inbox.clone()),
            ..Outgoing::to(self.request_subject.clone(), Bytes::from(request))
        })
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

    /// Returns whether a request waits and nothing, not even a heartbeat, has come for too long.
    pub(super) fn is_silent(&self) -> bool {
        self.outstanding > 0 && self.last_received.elapsed() > HEARTBEAT_TIMEOUT
    }

    /// Counts nothing as requested any more.
    pub(super) fn reset(&mut self) {
        self.outstanding = 0;
        self.last_received = Instant::now();
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
