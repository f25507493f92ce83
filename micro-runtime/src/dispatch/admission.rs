//! From a request to a running call: reads the headers, takes the permits, makes the call, or refuses.
//!
//! Nothing here waits: this runs in the loop that reads the subscription, and all requests behind would wait as well.
//! The functions are not `async`, since each future would move the message, and the call that it becomes, twice more.
//!
//! A request is checked in this order, the cheapest and the safest first:
//!
//! | check | outcome |
//! |---|---|
//! | NATS has not made the message itself | dropped without a reply: nobody has sent it |
//! | the reply subject is allowed | dropped without a reply, which would go where a caller must not publish |
//! | `Content-Type` is served here | `UNIMPLEMENTED` |
//! | the headers can be decoded | `INVALID_ARGUMENT`, or `UNIMPLEMENTED` for a version of streams |
//! | the time of its caller was not over before its turn came | `DEADLINE_EXCEEDED`, encoded once (`burst_refusal`) |
//! | the timeout is not below the server's minimum | `DEADLINE_EXCEEDED` |
//! | the call has not expired by the clock | `DEADLINE_EXCEEDED` |
//! | the message, or the one that follows in parts, is not too long | `RESOURCE_EXHAUSTED` |
//! | no limit is reached | `RESOURCE_EXHAUSTED` with a delay to retry after |
//!
//! The payload is decoded by the handler, within the permit and the deadline. Only of a short one whose type may grow
//! (`RequestSizes`) the elements are counted here, so that it takes its memory with its permit.
//! Refusals are counted as failed requests before they are sent, as the outcomes of handlers are.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;

use crate::context::{Context, Words};
use crate::dispatch::arrival::Arrival;
use crate::dispatch::burst_refusal::BurstRefusal;
use crate::dispatch::by_hand_call::ByHandCall;
use crate::dispatch::format::Format;
use crate::dispatch::method_handler::MethodHandler;
use crate::dispatch::permit::Permit;
use crate::dispatch::reply::{OutgoingReply, PendingReply};
use crate::dispatch::request_headers::RequestHeaders;
use crate::dispatch::served_call::ServedCall;
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::served_stream::ServedStream;
use crate::status::{Reason, Status};
use crate::wire;

/// Time that a request which had to wait for its turn must have left: that within which its age is known, and its reply
/// is on its way.
const SPARE_TIME: Duration = Duration::from_millis(10);
/// Part of its timeout that it must have left, if that is shorter.
const SPARE_PART: u32 = 8;

/// A call that holds its permits; nothing of its handler has run.
enum AdmittedCall {
    Unary(ServedCall),
    /// A call with frames: of a streaming method, or of a unary one whose request comes in parts.
    Stream(ServedStream),
    /// A streaming call without frames.
    ByHand(ByHandCall),
}

/// Why a request is not admitted.
enum NotAdmitted {
    Limit(BurstRefusal),
    Status(Status),
}

impl From<Status> for NotAdmitted {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl ServedMethod {
    /// Serves one request of a plain call; see [`dispatch_as`](Self::dispatch_as).
    pub(super) fn dispatch(
        self: &Arc<Self>,
        message: Message,
        arrival: Arrival,
    ) -> Option<PendingReply<'static>> {
        self.dispatch_as(message, arrival, None)
    }

    /// Serves one request: starts its handler, or replies with the reason why not. With a `responder`
    /// the reply carries this instance id in `Micro-Instance`.
    ///
    /// A request whose reply subject is not allowed is dropped. One without a reply subject runs and
    /// gets no reply, except for a streaming call, which does not run: nothing would be left of it.
    ///
    /// Returns a reply that could not be sent at once, for which the loop of the subscription must wait.
    pub(super) fn dispatch_as(
        self: &Arc<Self>,
        mut message: Message,
        arrival: Arrival,
        responder: Option<&Arc<str>>,
    ) -> Option<PendingReply<'static>> {
        if self.drops.is_of_nats(&message) {
            return None;
        }
        let reply = match &message.reply {
            None => None,
            Some(_) => match self.server.reply_subject(&message, &self.drops) {
                Some(reply) => Some(reply),
                None => return None,
            },
        };
        let headers = message.headers.as_ref();
        let payload = std::mem::take(&mut message.payload);
        let (format, admitted) = match self.read_payload(headers, payload) {
            Ok((format, payload)) => {
                let request = RequestHeaders::decode(headers);
                if let Ok(request) = &request
                    && self.has_waited_too_long(request, arrival)
                {
                    let why = BurstRefusal::Expired;
                    return self.refuse_in_burst(why, message, arrival, responder);
                }
                let admitted = match request {
                    Ok(request) => self.admit(request, &format, payload, reply.as_ref(), arrival),
                    Err(status) => Err(NotAdmitted::Status(status)),
                };
                (format, admitted)
            }
            Err((format, status)) => (format, Err(NotAdmitted::Status(status))),
        };
        match (admitted, reply) {
            (Ok(AdmittedCall::Unary(call)), reply) => {
                return call.replying_to(reply, responder).start();
            }
            (Ok(AdmittedCall::Stream(call)), Some(reply)) => {
                self.server
                    .tasks
                    .spawn(call.run(wire::subject::detached(&reply)));
            }
            (Ok(AdmittedCall::ByHand(call)), Some(reply)) => {
                self.server
                    .tasks
                    .spawn(call.run(wire::subject::detached(&reply)));
            }
            (Ok(_), None) => {
                let method = self.descriptor.full_name;
                tracing::debug!(method, "a streaming call has nowhere to send its replies");
            }
            (Err(NotAdmitted::Limit(why)), _) => {
                return self.refuse_in_burst(why, message, arrival, responder);
            }
            (Err(NotAdmitted::Status(status)), reply) => {
                return self.refuse_later(status, format, reply, arrival, responder);
            }
        }
        None
    }

    /// Returns the refusal of a request, as it is sent and counted.
    pub(super) fn refuse_later(
        self: &Arc<Self>,
        status: Status,
        format: Format,
        reply: Option<Subject>,
        arrival: Arrival,
        responder: Option<&Arc<str>>,
    ) -> Option<PendingReply<'static>> {
        let method = Arc::clone(self);
        let responder = responder.map(Arc::clone);
        Some(Box::pin(async move {
            let responder = responder.as_deref();
            method
                .refuse(status, &format, reply, arrival, responder)
                .await;
        }))
    }

    /// Returns whether the time of the caller was over before the turn of its request came, or so nearly that its reply
    /// would come too late. Otherwise a server that cannot catch up would run those at the very end of their time.
    #[inline]
    fn has_waited_too_long(&self, request: &RequestHeaders, arrival: Arrival) -> bool {
        let waited = arrival.waited();
        let is_over = |timeout: Duration| {
            let timeout = timeout.min(self.server.timeouts.max);
            waited + SPARE_TIME.min(timeout / SPARE_PART) >= timeout
        };
        !waited.is_zero() && self.timeout_of(request).is_some_and(is_over)
    }

    /// Returns the time that a call may take: what its caller waits, or the method's. A stream has a limit only if its
    /// caller sets one: it may run for days.
    fn timeout_of(&self, request: &RequestHeaders) -> Option<Duration> {
        let is_unary = matches!(self.handler, MethodHandler::Unary(_));
        match request.timeout {
            None if !is_unary && request.stream.is_some() => None,
            timeout => Some(timeout.unwrap_or(self.options.timeout)),
        }
    }

    /// Returns the format that the caller of a service with these methods writes, for a failure that is of
    /// none of them; plain protobuf if that is not known.
    pub(super) fn caller_format(methods: &[Arc<Self>], headers: Option<&HeaderMap>) -> Format {
        let Some(method) = methods.first() else {
            return Format::default();
        };
        match method.read_payload(headers, Bytes::new()) {
            Ok((format, _)) | Err((format, _)) => format,
        }
    }

    /// Reads the payload of a request, and the format that its caller writes.
    ///
    /// # Errors
    ///
    /// `UNIMPLEMENTED` for a format that is not served, with the one in which the caller reads failures.
    fn read_payload(
        &self,
        headers: Option<&HeaderMap>,
        payload: Bytes,
    ) -> Result<(Format, Bytes), (Format, Status)> {
        let read = wire::read_request(headers, payload);
        let (payloads, payload) = read.map_err(|status| (Format::PROTOBUF, status))?;
        Ok((Format::new(payloads, &self.json)?, payload))
    }

    /// Counts a request that no handler gets, and replies with `status`.
    async fn refuse(
        &self,
        status: Status,
        format: &Format,
        reply: Option<Subject>,
        arrival: Arrival,
        responder: Option<&str>,
    ) {
        tracing::debug!(method = self.descriptor.full_name, %status, "refused a request");
        self.stats.record(arrival.received.elapsed(), Some(&status));
        self.metrics.refused(status.code());
        if let Some(subject) = reply {
            let reply = OutgoingReply::new(subject, Err(status), &self.drops)
                .in_format(format)
                .signed_by(responder);
            self.server.send_reply(reply).await;
        }
        self.trace_reply(arrival);
    }

    /// Takes the permits and makes the call; nothing of the handler runs yet.
    ///
    /// The deadline counts from the arrival of the request. The caller's timeout is relative, since clocks of machines
    /// differ. So a handler may run longer than its caller waits, by the time that the request was on its way.
    ///
    /// # Errors
    ///
    /// `DEADLINE_EXCEEDED` for a timeout below the server's minimum and for a call that has expired, or the limit that
    /// is reached.
    fn admit(
        self: &Arc<Self>,
        request: RequestHeaders,
        format: &Format,
        payload: Bytes,
        reply: Option<&Subject>,
        arrival: Arrival,
    ) -> Result<AdmittedCall, NotAdmitted> {
        let timeouts = self.server.timeouts;
        let timeout = self.timeout_of(&request);
        let is_unary = matches!(self.handler, MethodHandler::Unary(_));
        if let Some(timeout) = timeout
            && timeout < timeouts.min
        {
            return Err(too_short(self.descriptor.full_name, timeout, timeouts.min).into());
        }
        if let Some(expired) = request.expired {
            return Err(expired_call(self.descriptor.full_name, expired).into());
        }
        self.check_request_len(payload.len() as u64)?;
        if let Some(header) = &request.stream {
            self.check_request_len(header.length)?;
        }
        // A call by hand of a streaming method is a stream as any other.
        let is_stream = !is_unary || request.stream.is_some();
        let is_json = format.payloads().is_json();
        let permit = Permit::acquire(self, is_stream, &payload, is_json, reply);
        let mut permit = permit.map_err(NotAdmitted::Limit)?;
        let since = arrival.reached;
        let deadline = timeout.and_then(|timeout| since.checked_add(timeout.min(timeouts.max)));
        let ctx = Context::of_call(
            self.descriptor,
            request.context,
            deadline,
            &self.server.stop,
            permit.decode_scope(payload.len(), deadline),
        );
        Ok(match (&self.handler, request.stream) {
            (MethodHandler::Unary(handler), None) => {
                let future = format.call_unary(handler, self.descriptor, ctx.clone(), payload);
                let call = ServedCall::new(permit, ctx, format.clone(), future, arrival);
                AdmittedCall::Unary(call.named(request.cancel_id))
            }
            (_, Some(header)) => AdmittedCall::Stream(ServedStream {
                permit,
                ctx,
                format: format.clone(),
                header,
                payload,
                arrival,
            }),
            (MethodHandler::Streaming(_), None) => AdmittedCall::ByHand(ByHandCall {
                permit,
                ctx,
                format: format.clone(),
                payload,
                arrival,
            }),
        })
    }
}

fn expired_call(name: &str, since: Duration) -> Status {
    Reason::Deadline.status(format!(
        "{name} was not run: it had expired {} before it arrived, by the clock of the server",
        Words(since)
    ))
}

fn too_short(name: &str, timeout: Duration, min: Duration) -> Status {
    let (timeout, min) = (Words(timeout), Words(min));
    Reason::Deadline.status(format!(
        "{name} is called with a timeout of {timeout}, and this server takes no call with less than {min}"
    ))
}
