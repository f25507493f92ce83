//! `PullSubscription`: asks a consumer for as many messages as there is room for, and never ends silently.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::{Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};

use crate::bus::{Connection, Outgoing};
use crate::error::Error;
use crate::jetstream::consumer::Consumer;
use crate::jetstream::stream::refused;
use crate::wire::header::stored::PENDING_MESSAGES;
use crate::wire::subject;

const EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Two heartbeats and a bit: then nobody is there.
const SILENCE: Duration = Duration::from_secs(11);
const FIRST_REST: Duration = Duration::from_millis(100);
const LAST_REST: Duration = Duration::from_secs(5);

/// The messages of one consumer, as this process asks for them.
pub(super) struct PullSubscription {
    consumer: Arc<Consumer>,
    subscription: Subscriber,
    inbox: Subject,
    next: Subject,
    /// How many messages were asked for and have not come.
    outstanding: usize,
    heard: Instant,
    connects: u64,
    restoring: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// What a wait ended with.
pub(super) enum PullOutcome {
    Message(Message),
    Nothing,
}

/// What came under the inbox.
enum PullMessage {
    Message,
    /// The consumer lives.
    Heartbeat,
    /// A request is over with so many messages undelivered; all, if it does not say.
    Over(Option<usize>),
    /// The consumer or its leader is gone.
    Gone,
}

impl PullSubscription {
    pub(super) async fn start(consumer: Arc<Consumer>) -> Result<Self, Error> {
        let client = &consumer.connection.jetstream_or_error()?.client;
        let inbox = Subject::from(client.new_inbox());
        let subscription = client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| refused("let us subscribe to our own inbox", error))?;
        Ok(Self {
            subscription,
            inbox,
            next: subject::pull(&consumer.stream, consumer.name()),
            outstanding: 0,
            heard: Instant::now(),
            connects: connects(&consumer.connection),
            restoring: None,
            consumer,
        })
    }

    /// Waits for a message, or for a reason to [`ask`](Self::ask) anew; `None` once the subscription
    /// is closed. Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Option<PullOutcome> {
        let message = match &mut self.restoring {
            None => self.subscription.next().await?,
            Some(restoring) => tokio::select! {
                message = self.subscription.next() => message?,
                () = restoring => {
                    self.restoring = None;
                    self.forget();
                    return Some(PullOutcome::Nothing);
                }
            },
        };
        self.heard = Instant::now();
        Some(self.read(message))
    }

    /// A message that is here already, for whoever has just waited for [`next`](Self::next).
    pub(super) fn next_now(&mut self) -> Option<Option<PullOutcome>> {
        if self.restoring.is_some() {
            return None;
        }
        let message = self.subscription.next().now_or_never()?;
        Some(message.map(|message| self.read(message)))
    }

    fn read(&mut self, message: Message) -> PullOutcome {
        match arrival(&message) {
            PullMessage::Message => {
                self.outstanding = self.outstanding.saturating_sub(1);
                return PullOutcome::Message(message);
            }
            PullMessage::Heartbeat => {}
            PullMessage::Over(left) => {
                let left = left.unwrap_or(self.outstanding);
                self.outstanding = self.outstanding.saturating_sub(left);
            }
            PullMessage::Gone => self.restore(message.description.as_deref().unwrap_or_default()),
        }
        PullOutcome::Nothing
    }

    /// Asks for messages, if there is enough `room` for it to be worth while.
    pub(super) async fn ask(&mut self, room: usize, limit: usize) {
        let batch = room.saturating_sub(self.outstanding);
        let is_worth = batch > 0 && (batch >= limit.div_ceil(2) || self.outstanding == 0);
        if !is_worth || self.restoring.is_some() {
            return;
        }
        if self.outstanding == 0 {
            self.heard = Instant::now();
        }
        self.outstanding += batch;
        let request = format!(
            r#"{{"batch":{batch},"expires":{},"idle_heartbeat":{}}}"#,
            EXPIRES.as_nanos(),
            HEARTBEAT.as_nanos()
        );
        let outgoing = Outgoing {
            reply: Some(self.inbox.clone()),
            ..Outgoing::to(self.next.clone(), Bytes::from(request))
        };
        if self.consumer.connection.publish(outgoing).await.is_err() {
            tracing::debug!("the connection to NATS is closed");
        }
    }

    /// Looks whether the server still knows of us; to be called about once a second.
    pub(super) fn look(&mut self) {
        let connects = connects(&self.consumer.connection);
        if connects != self.connects {
            self.connects = connects;
            // The server that we asked has forgotten it.
            self.forget();
        }
        if self.outstanding > 0 && self.restoring.is_none() && self.heard.elapsed() > SILENCE {
            self.restore("no heartbeat");
        }
    }

    /// Stops the server from sending more, and keeps what is under way.
    pub(super) async fn stop(&mut self) {
        self.restoring = None;
        // As `bus::CarrierSubscription::stop` has it.
        if let Err(error) = self.subscription.unsubscribe_after(u64::MAX).await {
            tracing::debug!(%error, "the connection is closed already");
        }
    }

    /// Ends the subscription after what has arrived.
    pub(super) async fn close(&mut self) {
        if let Err(error) = self.subscription.unsubscribe().await {
            tracing::debug!(%error, "the connection is closed already");
        }
    }

    fn forget(&mut self) {
        self.outstanding = 0;
        self.heard = Instant::now();
    }

    fn restore(&mut self, why: &str) {
        if self.restoring.is_some() {
            return;
        }
        let consumer = Arc::clone(&self.consumer);
        tracing::warn!(
            stream = &*consumer.stream,
            consumer = consumer.name(),
            why,
            "looks for the consumer"
        );
        self.restoring = Some(Box::pin(async move {
            let mut rest = FIRST_REST;
            loop {
                tokio::time::sleep(rest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                match consumer.restore().await {
                    Ok(()) => return,
                    Err(error) => tracing::error!(%error, "the consumer is gone; tries again"),
                }
                rest = (rest * 2).min(LAST_REST);
            }
        }));
    }
}

/// How often this connection was made: with each new one the server has forgotten requests and
/// what lives in its memory.
pub(super) fn connects(connection: &Connection) -> u64 {
    let jetstream = connection.jetstream_or_error();
    jetstream.map_or(0, |jetstream| {
        jetstream
            .client
            .statistics()
            .connects
            .load(Ordering::Relaxed)
    })
}

fn arrival(message: &Message) -> PullMessage {
    let Some(status) = message.status else {
        return PullMessage::Message;
    };
    let left = || {
        let headers = message.headers.as_ref()?;
        headers.get(PENDING_MESSAGES)?.as_str().parse().ok()
    };
    let text = message.description.as_deref().unwrap_or_default();
    match status.as_u16() {
        100 => PullMessage::Heartbeat,
        404 | 408 => PullMessage::Over(left()),
        409 if text == "Batch Completed" || text.starts_with("Message Size") => {
            PullMessage::Over(left())
        }
        _ => PullMessage::Gone,
    }
}
