//! A streaming call by hand, without frames: for the `nats` tool and three lines of Python.

use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use crate::bus::Outgoing;
use crate::context::Context;
use crate::endpoint::{Replies, Requests, Written};
use crate::observe::ServerCall;
use crate::serve::Endpoint;
use crate::serve::call::{panicked, passed};
use crate::serve::gate::Permit;
use crate::status::{Code, Reason, Status};
use crate::stream::Writing;
use crate::wire;

/// Nobody says how much the caller takes, so there is an end.
const MOST_MESSAGES: usize = 10_000;

/// A streaming call by hand that was admitted.
pub(super) struct PlainCall {
    pub(super) permit: Permit,
    pub(super) ctx: Context,
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
                () = passed(self.ctx.deadline()) => Err(Status::from_runtime(
                    Code::DeadlineExceeded,
                    Reason::Deadline,
                    format!("{name} did not end before the deadline"),
                )),
                () = shared.end.cancelled() => Err(Status::from_runtime(
                    Code::Unavailable,
                    Reason::ShuttingDown,
                    format!("the server stopped while {name} ran"),
                )),
            }
        };
        let code = result.as_ref().err().map(Status::code);
        let took = self.received.elapsed();
        endpoint.stats.record(took, result.as_ref().err());
        self.publish(
            &endpoint,
            reply,
            Bytes::new(),
            Some(wire::encode_end(result)),
        )
        .await;
        seen.end(code);
        self.ctx.end();
    }

    async fn send(&self, endpoint: &Endpoint, reply: &Subject) -> Result<(), Status> {
        // A client stream of one message, or of none.
        let is_empty = self.payload.is_empty() && endpoint.takes_stream();
        let given = match is_empty {
            true => Vec::new(),
            false => vec![self.payload.clone()],
        };
        let opening = endpoint.handler.streaming();
        let mut replies: Replies = opening
            .call(self.ctx.clone(), Requests::Given(given))
            .await?;
        for _ in 0..MOST_MESSAGES {
            let mut writing = Writing::for_one();
            let written = poll_fn(|cx| replies.as_mut().poll_write(cx, &mut writing)).await;
            if let Some(message) = writing.into_message() {
                let empty = message.is_empty().then(wire::encode_empty);
                self.publish(endpoint, reply.clone(), message, empty).await;
            }
            if let Written::End(result) = written {
                return result;
            }
        }
        Err(Status::from_runtime(
            Code::ResourceExhausted,
            Reason::TooLarge,
            format!(
                "a stream without the header `Micro-Stream` ends after {MOST_MESSAGES} messages"
            ),
        ))
    }

    async fn publish(
        &self,
        endpoint: &Endpoint,
        subject: Subject,
        payload: Bytes,
        mut headers: Option<HeaderMap>,
    ) {
        wire::encode_metadata(&mut headers, &self.ctx.take_answer_metadata());
        let outgoing = Outgoing {
            subject,
            reply: None,
            headers,
            payload,
        };
        if endpoint.shared.connection.publish(outgoing).await.is_err() {
            tracing::warn!(
                method = endpoint.method.full_name,
                "a reply could not be sent"
            );
        }
    }
}
