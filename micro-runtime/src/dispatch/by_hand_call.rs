//! `ByHandCall`: a streaming call without frames, as the `nats` tool and three lines of Python make it
//! (docs/PROTOCOL.md, "By hand").
//!
//! Each reply is one plain message to the caller's inbox. There are no credits, no heartbeats and no
//! RESET: the caller cannot slow the handler down and cannot end it, so that a deadline and
//! [`MAX_MESSAGES`] bound it. The end is an empty message with `Micro-Status`, whatever the outcome. Nothing
//! follows it: a handler under `#[rpc(detached)]` may go on after the deadline, but what it replies is dropped.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use crate::bus::{Outgoing, PublishError, RefusalObserver};
use crate::context::Context;
use crate::dispatch::arrival::Arrival;
use crate::dispatch::call_observer::CallObserver;
use crate::dispatch::format::Format;
use crate::dispatch::method_handler::OpeningFuture;
use crate::dispatch::permit::Permit;
use crate::dispatch::reply_source::WriteProgress;
use crate::dispatch::requests::Requests;
use crate::dispatch::served_method::ServedMethod;
use crate::execute::{BoxedHandler, Execution, Observer as _};
use crate::status::{Reason, Status};
use crate::stream::FrameWriter;
use crate::wire;

/// Maximum number of replies to one such call. Without frames the caller grants no credits and sends no
/// sign of life, so that nothing else would end an endless stream.
const MAX_MESSAGES: usize = 10_000;

/// A streaming call by hand that was admitted. Its one request is the payload of the request message.
pub(super) struct ByHandCall {
    pub(super) permit: Permit,
    pub(super) ctx: Context,
    pub(super) format: Format,
    pub(super) payload: Bytes,
    pub(super) arrival: Arrival,
}

/// Publishes the replies of one call, each as a plain message. It is shared by the handler's future, which
/// sends the replies, and by the call, which sends the end: after the handler was dropped, or before a detached
/// one goes on.
struct Publisher {
    method: Arc<ServedMethod>,
    subject: Subject,
    format: Format,
    /// Set before the end is sent: what a detached handler replies after that is dropped.
    has_ended: AtomicBool,
    /// Set once NATS has refused a message of this call.
    refused: Arc<OnceLock<Status>>,
    _refusals: RefusalObserver,
}

impl ByHandCall {
    /// Runs the handler with the one request, and publishes its replies and the end on `subject`.
    ///
    /// Handler and publishing are one execution: the default deadline of unary calls, a stop of the server
    /// and a panic end both, and the caller gets the end in each case. A detached handler goes on after the
    /// deadline, and publishes nothing more.
    pub(super) async fn run(mut self, subject: Subject) {
        let method = Arc::clone(self.permit.method());
        let observer = CallObserver::new(&method, self.arrival.received);
        let requests = self.requests(&method);
        let ctx = self.ctx.clone();
        let permit = &mut self.permit;
        let opening = method.opening(&self.format, ctx, requests, permit, observer.span());
        let (refused, refusals) = method.server.observe_refused_reply(&subject);
        let publisher = Arc::new(Publisher {
            refused,
            _refusals: refusals,
            method: Arc::clone(&method),
            subject,
            format: self.format,
            has_ended: AtomicBool::new(false),
        });
        let replies = Arc::clone(&publisher).send_replies(opening);
        let handler = BoxedHandler::new(Box::pin(replies));
        let mut execution = Execution::new(self.ctx, handler, observer);
        let (cost, stop) = (None, &method.server.grace_ended);
        let at_deadline = method.options.deadline_policy();
        let completion = execution.run(cost, stop, at_deadline).await;
        let goes_on = completion.is_detached(at_deadline);
        let ctx = execution.ctx();
        let limit = ctx.and_then(|ctx| method.time_limit(ctx, self.arrival.reached));
        let result = completion.into_result(method.descriptor.full_name, limit);
        // Reply metadata has no message of its own: it goes with the end.
        let mut end = Some(wire::encode_end(&result));
        let metadata = execution.ctx().map(Context::take_reply_metadata);
        wire::encode_metadata(&mut end, &metadata.unwrap_or_default());
        execution.record(result.as_ref().err());
        publisher.has_ended.store(true, Ordering::Release);
        if publisher.publish(Bytes::new(), end).await.is_err() {
            method.logs.unsent_end(method.descriptor.full_name);
        }
        execution.observer().close();
        if goes_on {
            execution.run_detached(stop).await;
        }
    }

    /// Returns the request as a stream of one message, or of none if a method that takes a stream gets an
    /// empty payload.
    fn requests(&self, method: &ServedMethod) -> Requests {
        let is_empty = self.payload.is_empty() && method.takes_stream();
        Requests::Given(match is_empty {
            true => Vec::new(),
            false => vec![self.payload.clone()],
        })
    }
}

impl Publisher {
    /// Opens the call, and publishes its replies as fast as the connection takes them.
    ///
    /// # Errors
    ///
    /// The status of the handler; `RESOURCE_EXHAUSTED` for a reply that does not fit into a NATS message, and
    /// above [`MAX_MESSAGES`]; `UNAVAILABLE` if the connection is gone; `PERMISSION_DENIED` if NATS refuses a message.
    async fn send_replies(self: Arc<Self>, opening: OpeningFuture) -> Result<(), Status> {
        let mut replies = opening.await?;
        let mut sent = 0;
        loop {
            let mut writer = FrameWriter::for_single_message();
            let progress = poll_fn(|cx| replies.as_mut().poll_write(cx, &mut writer)).await;
            if self.has_ended.load(Ordering::Acquire) {
                return Ok(());
            }
            if let Some(status) = self.refused.get() {
                return Err(status.clone());
            }
            if let Some(message) = writer.into_message() {
                if sent == MAX_MESSAGES {
                    return Err(too_many());
                }
                sent += 1;
                // An empty message without headers would look like the end.
                let mut headers = message.is_empty().then(wire::encode_empty);
                let length = message.len();
                let message = wire::write_payload(&mut headers, self.format.payloads(), message);
                // A message that is too large fails the call: the caller could not notice its loss.
                self.publish(message, headers).await.map_err(|error| {
                    let name = self.method.descriptor.full_name;
                    error.into_status(format_args!("a reply of {name}, {length} bytes,"))
                })?;
            }
            if let WriteProgress::End(result) = progress {
                return result;
            }
        }
    }

    async fn publish(
        &self,
        payload: Bytes,
        headers: Option<HeaderMap>,
    ) -> Result<(), PublishError> {
        let outgoing = Outgoing {
            headers,
            ..Outgoing::to(self.subject.clone(), payload)
        };
        self.method.server.leaving().publish(outgoing).await
    }
}

fn too_many() -> Status {
    Reason::TooLarge.status(format!(
        "a stream without the header `Micro-Stream` ends after {MAX_MESSAGES} messages"
    ))
}
