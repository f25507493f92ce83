//! Puts one event into a stream: sent, acknowledged, and sent again under the same id until it is.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::publish;
use async_nats::jetstream::response::Response;
use async_nats::{HeaderMap, Message, StatusCode, Subject};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::bus::{Connection, Outgoing, PublishError, ReplySlot};
use crate::status::{Code, Reason, Status};
use crate::wire::header::stored::MESSAGE_ID;

/// One try waits so long: a leader may die with an event under way, and then nobody answers.
const ATTEMPT: Duration = Duration::from_secs(5);
const FIRST_REST: Duration = Duration::from_millis(50);
const LAST_REST: Duration = Duration::from_secs(1);

/// JetStream's word that it has stored an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishAck {
    /// The stream that has it.
    pub stream: String,
    /// Its number there.
    pub sequence: u64,
    /// Whether an event with this id was there already, and nothing new was stored.
    pub is_duplicate: bool,
}

/// An event on its way into a stream.
pub(super) struct AckedPublish {
    pub(super) connection: Arc<Connection>,
    pub(super) subject: Subject,
    pub(super) id: String,
    /// Headers besides the id.
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
    pub(super) deadline: Instant,
}

/// Why one try did not end in an acknowledgment.
enum Failure {
    /// Trying again may help.
    Passing(Status),
    /// It will not.
    Final(Status),
}

impl AckedPublish {
    /// Sends and waits until the event is stored.
    pub(super) async fn run(self) -> Result<PublishAck, Status> {
        let first = self.send().await;
        self.ack_or_nak(first).await
    }

    /// Hands the event to the connection.
    pub(super) async fn send(&self) -> Result<ReplySlot, Status> {
        let mut headers = self.headers.clone().unwrap_or_default();
        headers.insert(MESSAGE_ID, self.id.as_str());
        let (waiting, reply) = self.connection.mux().reserve(false);
        let outgoing = Outgoing {
            subject: self.subject.clone(),
            reply: Some(reply),
            headers: Some(headers),
            payload: self.payload.clone(),
        };
        match timeout_at(self.deadline, self.connection.publish(outgoing)).await {
            Ok(Ok(())) => Ok(waiting),
            Ok(Err(error)) => Err(self.not_sent(error)),
            Err(_) => Err(self.too_late("the connection's queue was full")),
        }
    }

    /// Waits for the acknowledgment of what was sent, and sends again where there is none.
    pub(super) async fn ack_or_nak(
        self,
        first: Result<ReplySlot, Status>,
    ) -> Result<PublishAck, Status> {
        let mut rest = FIRST_REST;
        let mut waiting = first?;
        loop {
            let status = match self.acknowledged(waiting).await {
                Ok(ack) => return Ok(ack),
                Err(Failure::Final(status)) => return Err(status),
                Err(Failure::Passing(status)) => status,
            };
            let wake = Instant::now() + rest.mul_f64(0.5 + fastrand::f64() / 2.0);
            if wake >= self.deadline {
                return Err(self.too_late(status.message()).with_source(status));
            }
            match rest {
                FIRST_REST => {
                    tracing::warn!(subject = %self.subject, %status, "an event is not stored yet; tries again");
                }
                _ => tracing::debug!(subject = %self.subject, %status, "tries again"),
            }
            tokio::time::sleep_until(wake).await;
            rest = (rest * 2).min(LAST_REST);
            waiting = self.send().await?;
        }
    }

    async fn acknowledged(&self, mut waiting: ReplySlot) -> Result<PublishAck, Failure> {
        let until = self.deadline.min(Instant::now() + ATTEMPT);
        let reply = std::future::poll_fn(|cx| waiting.poll(cx));
        match timeout_at(until, reply).await {
            Ok(Ok(reply)) => self.read(&reply),
            Ok(Err(status)) => Err(Failure::Passing(status)),
            Err(_) => Err(Failure::Passing(Status::unavailable(
                "JetStream did not answer",
            ))),
        }
    }

    fn read(&self, reply: &Message) -> Result<PublishAck, Failure> {
        if reply.status == Some(StatusCode::NO_RESPONDERS) {
            let text = format!("no stream stores `{}`, or its leader is away", self.subject);
            return Err(Failure::Passing(Status::unavailable(text)));
        }
        match serde_json::from_slice::<publish::PublishAck>(&reply.payload) {
            // A refusal may name the stream, too; its sequence is 0 then.
            Ok(ack) if ack.sequence > 0 => Ok(PublishAck {
                stream: ack.stream,
                sequence: ack.sequence,
                is_duplicate: ack.duplicate,
            }),
            _ => Err(self.refusal(&reply.payload)),
        }
    }

    fn refusal(&self, payload: &[u8]) -> Failure {
        match serde_json::from_slice::<Response<publish::PublishAck>>(payload) {
            Ok(Response::Err { error }) => {
                let text = format!("JetStream does not store `{}`: {error}", self.subject);
                match error.code() {
                    500.. => Failure::Passing(Status::unavailable(text)),
                    _ => Failure::Final(
                        Reason::NotStored.status_with(Code::FailedPrecondition, text),
                    ),
                }
            }
            _ => Failure::Final(Reason::NotStored.status_with(
                Code::Internal,
                format!("what answered `{}` is no stream", self.subject),
            )),
        }
    }

    fn too_late(&self, why: &str) -> Status {
        let text = format!(
            "`{}` was not acknowledged in time and may or may not be stored; the same id can be published again: {why}",
            self.subject
        );
        Reason::NotStored.status(text)
    }

    fn not_sent(&self, error: PublishError) -> Status {
        let (subject, length) = (&self.subject, self.payload.len());
        error.into_status(format_args!("`{subject}`, {length} bytes,"))
    }
}
