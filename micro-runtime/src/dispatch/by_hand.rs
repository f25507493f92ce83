//! A streaming call by hand, without frames: for the `nats` tool and three lines of Python.

use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use crate::bus::{Outgoing, PublishError};
use crate::context::Context;
use crate::dispatch::permit::Permit;
use crate::dispatch::replies::{ReplyWriter, WriteProgress};
use crate::dispatch::requests::Requests;
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::transcode::Format;
use crate::dispatch::unary::{panicked, passed};
use crate::observe::ServerCall;
use crate::status::{Reason, Status};
use crate::stream::FrameWriter;
use crate::wire;

/// Nobody says how much the caller takes, so there is an end.
const MOST_MESSAGES: usize = 10_000;

/// A streaming call by hand that was admitted.
pub(super) struct PlainCall {
    pub(super) permit: Permit,
    pub(super) ctx: Context,
    pub(super) format: Format,
    pub(super) payload: Bytes,
    pub(super) received: Instant,
}

impl PlainCall {
    /// Runs the handler with the one request, and publishes its replies and the end.
    pub(super) async fn run(self, reply: Subject) {
        let endpoint = Arc::clone(self.permit.endpoint());
        let mut seen = ServerCall::begin(endpoint.method, &endpoint.meters, self.received);
        let shared = &endpoint.shared;
        let name = endpoint.method.full_name;
        let result = {
            let mut sending = Box::pin(self.send(&endpoint, &reply));
            let guarded = poll_fn(|cx| {
                let polled = catch_unwind(AssertUnwindSafe(|| sending.as_mut().poll(cx)));
                polled.unwrap_or_else(|panic| Poll::Ready(Err(panicked(&endpoint, panic.as_ref()))))
            });
            tokio::select! {
                biased;
                result = guarded => result,
                () = passed(self.ctx.deadline()) => Err(Reason::Deadline.status(
                    format!("{name} did not end before the deadline"),
                )),
                () = shared.end.cancelled() => Err(Reason::ShuttingDown.status(
                    format!("the server stopped while {name} ran"),
                )),
            }
        };
        let code = result.as_ref().err().map(Status::code);
        // All that the handler said besides messages goes with the end.
        let mut end = Some(wire::encode_end(&result));
        wire::encode_metadata(&mut end, &self.ctx.take_answer_metadata());
        let took = self.received.elapsed();
        endpoint.stats.record(took, result.as_ref().err());
        if self
            .publish(&endpoint, reply, Bytes::new(), end)
            .await
            .is_err()
        {
            tracing::warn!(method = name, "the end of a stream could not be sent");
        }
        seen.end(code);
        self.ctx.end();
    }

    async fn send(&self, endpoint: &ServedMethod, reply: &Subject) -> Result<(), Status> {
        // A client stream of one message, or of none.
        let is_empty = self.payload.is_empty() && endpoint.takes_stream();
        let given = match is_empty {
            true => Vec::new(),
            false => vec![self.payload.clone()],
        };
        let opening = self.format.streaming(&endpoint.handler, endpoint.method);
        let mut replies: ReplyWriter = opening
            .call(self.ctx.clone(), Requests::Given(given))
            .await?;
        let mut sent = 0;
        loop {
            let mut writer = FrameWriter::for_single_message();
            let written = poll_fn(|cx| replies.as_mut().poll_write(cx, &mut writer)).await;
            if let Some(message) = writer.into_message() {
                if sent == MOST_MESSAGES {
                    return Err(too_many());
                }
                sent += 1;
                let headers = match message.is_empty() {
                    true => Some(wire::encode_empty()),
                    false => self.format.headers(),
                };
                let length = message.len();
                let published = self.publish(endpoint, reply.clone(), message, headers);
                // One that is left out would be lost in silence.
                published.await.map_err(|error| {
                    error.into_status(format_args!("a message of {length} bytes"))
                })?;
            }
            if let WriteProgress::End(result) = written {
                return result;
            }
        }
    }

    async fn publish(
        &self,
        endpoint: &ServedMethod,
        subject: Subject,
        payload: Bytes,
        headers: Option<HeaderMap>,
    ) -> Result<(), PublishError> {
        let outgoing = Outgoing {
            headers,
            ..Outgoing::to(subject, payload)
        };
        endpoint.shared.connection.publish(outgoing).await
    }
}

fn too_many() -> Status {
    Reason::TooLarge.status(format!(
        "a stream without the header `Micro-Stream` ends after {MOST_MESSAGES} messages"
    ))
}
