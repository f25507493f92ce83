//! `AckedPublish`: publishes one event into a stream, again under the same id until it is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::publish;
use async_nats::jetstream::response::Response;
use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::bus::{Connection, Outgoing, PublishError, ReceivedReply, ReplySlot, is_runtime_ending};
use crate::context::TimeLimit;
use crate::jetstream::no_stream_cause::NoStreamCause;
use crate::jetstream::store_refusal::StoreRefusal;
use crate::status::{Code, Reason, Status};
use crate::wire::header::stored::MESSAGE_ID;

/// Time that one attempt waits for its acknowledgment. A leader that dies with an event under way never
/// acknowledges it, and is replaced within 5 to 6 s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that the look-up of a missing stream takes at most.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// Cause of an attempt that got no reply.
const NO_REPLY: &str = "JetStream did not reply";
/// Wait before the second attempt; it doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_millis(50);
/// Maximum wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// Acknowledgment of JetStream that an event is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishAck {
    /// Stream that has stored the event.
    pub stream: String,
    /// Sequence of the event in the stream, from 1.
    pub sequence: u64,
    /// Whether the stream had an event with this id already, so that nothing new was stored.
    pub is_duplicate: bool,
}

/// An event on its way into a stream.
///
/// # Exactly once in the stream
///
/// Each attempt has the same `Nats-Msg-Id`, and a stream stores an id once within its window of duplicates,
/// 2 minutes by default. So it does not matter whether an attempt without an acknowledgment was lost on its
/// way there or on its way back. An event whose deadline is longer than the window could be stored twice.
///
/// # Retried failures
///
/// | failure | retried |
/// |---|---|
/// | no acknowledgment within [`ATTEMPT_TIMEOUT`], or the connection was lost | yes |
/// | no responders, since the stream is gone that this program has declared | yes, once it is declared again |
/// | no responders, since its leader is being elected, or JetStream is away or off | yes |
/// | no responders, since no stream has the subject | only with `waits_for_ready`: another program may declare it |
/// | an error of JetStream | [`StoreRefusal`] decides |
/// | a reply that is not JetStream's, as of a service with this subject | no |
/// | NATS does not let this user publish to the subject, or receive replies | no |
pub(super) struct AckedPublish {
    pub(super) connection: Arc<Connection>,
    pub(super) subject: Subject,
    /// Id of the event, without control characters.
    pub(super) id: String,
    /// Headers besides the id.
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
    pub(super) limit: TimeLimit,
    /// Whether the event waits for the connection. One that was sent does in any case: it may be stored.
    pub(super) waits_for_ready: bool,
}

/// Failure of one attempt.
enum AttemptFailure {
    /// Another attempt may succeed; the stream may have stored this one.
    Transient(Status),
    /// Another attempt may succeed; this one is not stored.
    NotStored(Status),
    /// The deadline ended the wait before an attempt's own time was over.
    TooLate,
    Permanent(Status),
    /// NATS does not let this user publish the event.
    Refused(Status),
}

impl AckedPublish {
    /// Publishes, and waits until the event is stored.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send) and [`wait_for_ack`](Self::wait_for_ack).
    pub(super) async fn run(self) -> Result<PublishAck, Status> {
        let first = self.send().await;
        self.wait_for_ack(first).await
    }

    /// Puts the event into the connection's queue once, and returns the slot that its acknowledgment comes
    /// to. Events whose `send` follow each other reach the stream in that order.
    ///
    /// # Errors
    ///
    /// [`Reason::NotStored`] if the queue was full until the deadline; [`Reason::NotPermitted`] if NATS has just
    /// refused such an event; otherwise why the connection did not take the event.
    pub(super) async fn send(&self) -> Result<ReplySlot, Status> {
        self.send_when_ready(self.waits_for_ready).await
    }

    /// Sends the event as [`send`](Self::send) does; waits for the connection if `waits`.
    async fn send_when_ready(&self, waits: bool) -> Result<ReplySlot, Status> {
        let mut headers = self.headers.clone().unwrap_or_default();
        headers.insert(MESSAGE_ID, self.id.as_str());
        let mut outgoing = Outgoing {
            headers: Some(headers),
            ..Outgoing::to(self.subject.clone(), self.payload.clone())
        };
        self.connection
            .check_len(&outgoing)
            .map_err(|error| self.not_sent(error))?;
        let (mut slot, reply) = self
            .connection
            .mux()
            .reserve(&self.subject)
            .map_err(|refused| self.not_permitted(&refused, None, false))?;
        outgoing.reply = Some(reply);
        loop {
            let publishing = self.connection.publish_request(&mut slot, outgoing.clone());
            match timeout_at(self.deadline(), publishing).await {
                Ok(Ok(())) => return Ok(slot),
                Ok(Err(PublishError::Disconnected)) if waits => {}
                Ok(Err(error)) => return Err(self.not_sent(error)),
                Err(_) => return Err(self.too_late("the connection's queue was full", true)),
            }
            match timeout_at(self.deadline(), self.connection.ready()).await {
                Ok(ready) => ready.map_err(|error| self.not_sent(error))?,
                Err(_) => return Err(self.too_late("there was no connection to NATS", true)),
            }
        }
    }

    /// Waits for the acknowledgment of the `first` attempt, and sends the event again while there is none.
    ///
    /// The waits between attempts are random, between half and all of the backoff, since all publishers of
    /// a stream lose its leader at the same moment.
    ///
    /// # Errors
    ///
    /// [`Reason::NotStored`]: with `UNAVAILABLE` if the deadline passed, and the event may or may not be
    /// stored; with another code if the stream rejected it. [`Reason::NotPermitted`] if NATS refuses the event;
    /// [`Reason::Disconnected`] if the bus was closed, and the event may or may not be stored. An error of `first`.
    pub(super) async fn wait_for_ack(
        self,
        first: Result<ReplySlot, Status>,
    ) -> Result<PublishAck, Status> {
        let mut backoff = INITIAL_BACKOFF;
        let mut slot = first?;
        // Failure of the attempt before this one.
        let mut cause = None;
        let mut may_be_stored = false;
        loop {
            let status = match self.receive_ack(slot).await {
                Ok(ack) => return Ok(ack),
                Err(AttemptFailure::Permanent(status)) => return Err(status),
                Err(AttemptFailure::Refused(refused)) => {
                    return Err(self.not_permitted(&refused, cause, may_be_stored));
                }
                Err(AttemptFailure::TooLate) => return Err(self.cut_short(cause)),
                Err(AttemptFailure::NotStored(status)) => status,
                Err(AttemptFailure::Transient(status)) => {
                    may_be_stored = true;
                    status
                }
            };
            if self.connection.is_closed() {
                let outcome = outcome(may_be_stored);
                let closed = format!(
                    "`{}` {outcome}: the bus was closed before its acknowledgment",
                    self.subject
                );
                return Err(Reason::Disconnected.status(closed).with_source(status));
            }
            let wake = Instant::now() + backoff.mul_f64(0.5 + fastrand::f64() / 2.0);
            if wake >= self.deadline() {
                let late = self.too_late(status.message(), may_be_stored);
                return Err(late.with_source(status));
            }
            self.log_retry(backoff, &status).await;
            tokio::time::sleep_until(wake).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
            slot = self.send_when_ready(true).await?;
            cause = Some(status);
        }
    }

    /// Logs that the event is sent again: in a warning for its first repetition.
    async fn log_retry(&self, backoff: Duration, status: &Status) {
        match backoff {
            INITIAL_BACKOFF if !is_runtime_ending().await => {
                let (subject, status) = (self.subject.clone(), status.clone());
                let log = &self.connection.mux().counts().unstored_events_log;
                log.write(move |count| {
                    tracing::warn!(%subject, %status, count, "an event is not stored yet; sending it again");
                });
            }
            _ => tracing::debug!(subject = %self.subject, %status, "sending the event again"),
        }
    }

    /// Returns the failure of an attempt that nothing has received, with the cause.
    async fn explain_absence(&self) -> AttemptFailure {
        let until = self.deadline().min(Instant::now() + LOOK_UP_TIMEOUT);
        let looking = NoStreamCause::look_up(&self.connection, &self.subject);
        let cause = match timeout_at(until, looking).await {
            Ok(cause) => cause,
            Err(_) => NoStreamCause::Unknown,
        };
        let text = cause.text(&self.subject);
        match cause {
            NoStreamCause::NoStream if !self.waits_for_ready => {
                let text = format!("`{}` is not stored: {text}", self.subject);
                AttemptFailure::Permanent(Reason::NotStored.status(text))
            }
            _ => AttemptFailure::NotStored(Status::unavailable(text)),
        }
    }

    /// Returns the error of a last attempt that the deadline has cut short. The attempt before it mostly knows the
    /// cause.
    fn cut_short(&self, cause: Option<Status>) -> Status {
        let Some(cause) = cause else {
            return self.too_late(NO_REPLY, true);
        };
        let before = cause.message();
        let text = format!("the last attempt had no reply; before it: {before}");
        self.too_late(&text, true).with_source(cause)
    }

    async fn receive_ack(&self, mut slot: ReplySlot) -> Result<PublishAck, AttemptFailure> {
        let until = self.deadline().min(Instant::now() + ATTEMPT_TIMEOUT);
        let reply = std::future::poll_fn(|cx| slot.poll(cx));
        match timeout_at(until, reply).await {
            Ok(Ok(reply)) if reply.is_no_responders() => Err(self.explain_absence().await),
            Ok(Ok(reply)) => self.read(&reply),
            Ok(Err(status)) if status.reason() == Some(Reason::NotPermitted) => {
                Err(AttemptFailure::Refused(status))
            }
            Ok(Err(status)) => Err(AttemptFailure::Transient(status)),
            Err(_) if until == self.deadline() => Err(AttemptFailure::TooLate),
            Err(_) => Err(AttemptFailure::Transient(Status::unavailable(NO_REPLY))),
        }
    }

    fn read(&self, reply: &ReceivedReply) -> Result<PublishAck, AttemptFailure> {
        match serde_json::from_slice::<publish::PublishAck>(reply.payload()) {
            // An error may name the stream as well; its sequence is 0 then.
            Ok(ack) if ack.sequence > 0 => Ok(PublishAck {
                stream: ack.stream,
                sequence: ack.sequence,
                is_duplicate: ack.duplicate,
            }),
            _ => Err(self.rejection(reply.payload())),
        }
    }

    fn rejection(&self, payload: &[u8]) -> AttemptFailure {
        match serde_json::from_slice::<Response<publish::PublishAck>>(payload) {
            Ok(Response::Err { error }) => {
                let text = format!("JetStream does not store `{}`: {error}", self.subject);
                match StoreRefusal::of(&error) {
                    StoreRefusal::Final(code) => {
                        AttemptFailure::Permanent(Reason::NotStored.status_with(code, text))
                    }
                    StoreRefusal::Passing => AttemptFailure::NotStored(Status::unavailable(text)),
                    StoreRefusal::UnderWay => AttemptFailure::Transient(Status::unavailable(text)),
                }
            }
            _ => AttemptFailure::Permanent(Reason::NotStored.status_with(
                Code::Internal,
                format!("the reply to `{}` is not from a stream", self.subject),
            )),
        }
    }

    fn deadline(&self) -> Instant {
        self.limit.deadline
    }

    fn too_late(&self, cause: &str, may_be_stored: bool) -> Status {
        let outcome = outcome(may_be_stored);
        let text = format!(
            "`{}` was not acknowledged within {}, and {outcome}; the same id can be published again: {cause}",
            self.subject, self.limit
        );
        Reason::NotStored.status(text)
    }

    /// Returns the error of an event that NATS refuses to take. `cause` is the failure of an attempt before, which
    /// may have stored it.
    fn not_permitted(
        &self,
        refused: &Status,
        cause: Option<Status>,
        may_be_stored: bool,
    ) -> Status {
        let outcome = match may_be_stored {
            false => "is not stored",
            true => "may or may not be stored by an earlier attempt",
        };
        let text = format!("`{}` {outcome}: {}", self.subject, refused.message());
        let status = Reason::NotPermitted.status(text);
        match cause {
            None => status,
            Some(cause) => status.with_source(cause),
        }
    }

    fn not_sent(&self, error: PublishError) -> Status {
        let (subject, length) = (&self.subject, self.payload.len());
        error.into_status(format_args!("`{subject}`, {length} bytes,"))
    }
}

fn outcome(may_be_stored: bool) -> &'static str {
    match may_be_stored {
        true => "may or may not be stored",
        false => "is not stored",
    }
}
