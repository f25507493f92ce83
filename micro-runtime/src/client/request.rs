//! `OutgoingRequest`: a request with its method, body and options, and the conversions from and to the wire.

use std::time::Duration;

use async_nats::{HeaderMap, StatusCode, Subject};
use bytes::Bytes;
use tokio::time::Instant;
use tracing::Span;

use crate::bus::{
    AbandonedRequest, Outgoing, PublishError, ReceivedReply, ReplySlot, instant_after,
};
use crate::client::call_errors;
use crate::client::call_options::{CallOptions, MessageOptions};
use crate::client::client::Client;
use crate::context::{TimeLimit, TimeoutSource};
use crate::descriptor::MethodDescriptor;
use crate::metadata::Metadata;
use crate::middleware;
use crate::status::Status;
use crate::wire;
use crate::wire::CancelToken;

/// Body of a request: a message that is encoded when it is sent, or bytes that are encoded already.
pub(crate) trait RequestBody {
    fn encode(&self) -> Bytes;
    fn encoded_len(&self) -> usize;
}

/// Message that is encoded each time it is sent.
///
/// An attempt writes it straight into the thread's shared buffer, which costs no allocation; keeping
/// encoded bytes for a retry that is rarely needed would cost one per call.
pub(crate) struct TypedBody<M>(pub(crate) M);

/// A request that has not been sent yet, or may be sent again.
pub(crate) struct OutgoingRequest<B> {
    pub(crate) client: Client,
    /// Index of the method in the service's descriptor.
    pub(crate) method: usize,
    pub(crate) body: B,
    pub(crate) options: CallOptions,
}

/// The parts of a request that middleware neither sees nor changes.
///
/// Behind the last layer it makes the request that leaves from the [`middleware::Request`] that arrived
/// there, whose metadata and payload the layers may have changed.
pub(crate) struct RequestTemplate {
    pub(crate) client: Client,
    pub(crate) method: usize,
    /// Options of the call without its metadata, which passes the layers.
    options: CallOptions,
    /// Time limit of the call; `None` for a stream without one.
    limit: Option<TimeLimit>,
}

impl<M: prost::Message> RequestBody for TypedBody<M> {
    fn encode(&self) -> Bytes {
        wire::encode(&self.0)
    }

    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
}

impl RequestBody for Bytes {
    fn encode(&self) -> Bytes {
        self.clone()
    }

    fn encoded_len(&self) -> usize {
        self.len()
    }
}

impl<B> OutgoingRequest<B> {
    pub(crate) fn new(client: &Client, method: usize, body: B) -> Self {
        Self {
            client: client.clone(),
            method,
            body,
            options: CallOptions::new(),
        }
    }

    pub(crate) fn descriptor(&self) -> &'static MethodDescriptor {
        self.client.method(self.method)
    }

    pub(crate) fn method_name(&self) -> &'static str {
        self.descriptor().full_name
    }

    /// Returns the same request with another body.
    pub(crate) fn with_body(&self, body: Bytes) -> OutgoingRequest<Bytes> {
        OutgoingRequest {
            client: self.client.clone(),
            method: self.method,
            body,
            options: self.options.clone(),
        }
    }

    /// Returns the same request with its body encoded.
    pub(crate) fn encoded(self) -> OutgoingRequest<Bytes>
    where
        B: RequestBody,
    {
        OutgoingRequest {
            client: self.client,
            method: self.method,
            body: self.body.encode(),
            options: self.options,
        }
    }

    /// Splits the request for its way through middleware. The time limit, which the layers cannot extend, begins
    /// before the first of them.
    ///
    /// # Errors
    ///
    /// The error of an invalid header.
    pub(crate) fn into_template(
        mut self,
        limit: Option<TimeLimit>,
    ) -> Result<(RequestTemplate, Metadata, B), Status> {
        let metadata = std::mem::replace(&mut self.options.message.metadata, Ok(Metadata::new()))?;
        let template = RequestTemplate {
            client: self.client,
            method: self.method,
            options: self.options,
            limit,
        };
        Ok((template, metadata, self.body))
    }

    /// Computes the deadline of a unary call that begins `now`: the earlier of its own timeout (the
    /// call's, else the client's, else the .proto's, else 5 s) and the deadline of its parent.
    pub(crate) fn time_limit(&self, now: Instant) -> TimeLimit {
        if let Some(limit) = &self.options.limit {
            return **limit;
        }
        let (timeout, source) = match self.options.timeout {
            Some(timeout) => (timeout, TimeoutSource::Call),
            None => self.client.timeout(self.descriptor()),
        };
        let own = TimeLimit {
            deadline: instant_after(now, timeout),
            timeout,
            source,
        };
        self.options.within_parent(now, Some(own)).unwrap_or(own)
    }

    /// Computes the deadline of a stream that is opened `now`, which has one only if it or its parent does.
    pub(crate) fn stream_limit(&self, now: Instant) -> Option<TimeLimit> {
        if let Some(limit) = &self.options.limit {
            return Some(**limit);
        }
        // A timeout too large for an `Instant` means no deadline, as no timeout does.
        let own = self.options.timeout.and_then(|timeout| {
            Some(TimeLimit {
                deadline: now.checked_add(timeout)?,
                timeout,
                source: TimeoutSource::Call,
            })
        });
        self.options.within_parent(now, own)
    }

    /// Returns the headers of the request; `left` is the time that the server has for it.
    pub(crate) fn headers(
        &self,
        left: Option<Duration>,
        span: &Span,
    ) -> Result<Option<HeaderMap>, Status> {
        let mut headers = self.options.headers(span)?;
        if let Some(left) = left {
            wire::encode_timeout(&mut headers, left);
            if self.expires() {
                wire::encode_expires(&mut headers, left);
            }
        }
        Ok(headers)
    }

    /// Returns whether the call must not begin after its deadline by the clock.
    #[inline]
    pub(crate) fn expires(&self) -> bool {
        self.options.expires || self.descriptor().expires
    }

    /// Returns the message that carries `payload` in place of the body.
    pub(crate) fn outgoing_with(
        &self,
        payload: Bytes,
        reply: Option<Subject>,
        left: Option<Duration>,
        span: &Span,
    ) -> Result<Outgoing, Status> {
        let mut headers = self.headers(left, span)?;
        let payload = wire::write_payload(&mut headers, self.client.format(), payload);
        Ok(Outgoing {
            subject: self.client.subject(self.method).clone(),
            reply,
            headers,
            payload,
        })
    }

    /// Converts a reply to the result of the call: a message of NATS itself, which has a status of NATS, and the
    /// failure of a service become errors.
    #[inline]
    pub(crate) fn read(&self, reply: ReceivedReply) -> Result<ReceivedReply, Status> {
        let what = format_args!("the reply of {}", self.method_name());
        let format = self.client.format();
        match reply {
            ReceivedReply::Plain(payload) => {
                let payload = wire::read_reply(None, payload, format, what)?;
                self.client.check_reply_len(self.descriptor(), &payload)?;
                Ok(ReceivedReply::Plain(payload))
            }
            ReceivedReply::Message(mut message) => {
                match message.status {
                    None => {}
                    Some(StatusCode::NO_RESPONDERS) => return Err(self.no_responders()),
                    Some(status) => {
                        let description = message.description.as_deref();
                        return Err(wire::not_a_reply(status, description));
                    }
                }
                let payload = std::mem::take(&mut message.payload);
                let headers = message.headers.as_ref();
                message.payload = wire::read_reply(headers, payload, format, what)?;
                let method = self.descriptor();
                self.client.check_reply_len(method, &message.payload)?;
                Ok(ReceivedReply::Message(message))
            }
        }
    }

    pub(crate) fn deadline_exceeded(&self, limit: &TimeLimit) -> Status {
        call_errors::deadline_exceeded(self.method_name(), limit)
    }

    pub(crate) fn not_sent_in_time(&self, limit: &TimeLimit) -> Status {
        call_errors::not_sent_in_time(self.method_name(), limit)
    }

    pub(crate) fn deadline_exceeded_in_parts(&self, limit: &TimeLimit) -> Status {
        call_errors::deadline_exceeded_in_parts(self.method_name(), limit)
    }

    pub(crate) fn no_responders(&self) -> Status {
        match self.client.instance() {
            Some(id) => call_errors::no_such_instance(self.method_name(), id),
            None => call_errors::no_responders(self.method_name()),
        }
    }

    /// The instance that was called died.
    #[cold]
    pub(crate) fn instance_gone(&self) -> Status {
        let id = self.client.instance().unwrap_or_default();
        call_errors::instance_gone(self.method_name(), id)
    }

    /// Gives up a call that waits for its reply: its server is told, unless the request was not sent. `id` is that of
    /// `Micro-Cancel`, where the request has one.
    #[cold]
    pub(crate) fn cancel(&self, slot: &mut ReplySlot, id: Option<CancelToken>) {
        if let Some(request) = slot.abandon() {
            self.publish_cancel(id.unwrap_or(request.token));
        }
    }

    /// Gives up a call at its deadline, at which its server ends it: it is told only if NATS holds the request up.
    #[cold]
    pub(crate) fn end_at_deadline(
        &self,
        slot: &mut ReplySlot,
        id: Option<CancelToken>,
        limit: &TimeLimit,
    ) {
        if let Some(request) = slot.abandon() {
            let request = AbandonedRequest {
                token: id.unwrap_or(request.token),
                ..request
            };
            let begun = limit.deadline.checked_sub(limit.timeout);
            let begun = begun.unwrap_or(limit.deadline);
            let subject = self.client.base().cancel();
            let connection = self.client.connection();
            connection.cancel_held_up(subject, request, begun);
        }
    }

    /// Cancels a call that has ended with the connection, if NATS may not have taken its request yet, or the bus was
    /// closed: it would run without a caller.
    #[cold]
    pub(crate) fn cancel_after_loss(&self, slot: &mut ReplySlot, id: Option<CancelToken>) {
        if let Some(token) = slot.take_cancelable() {
            self.publish_cancel(id.unwrap_or(token));
        }
    }

    fn publish_cancel(&self, token: CancelToken) {
        let subject = self.client.base().cancel();
        self.client.connection().cancel(subject, token);
    }

    pub(crate) fn parent_ended(&self) -> Status {
        call_errors::parent_ended(self.method_name())
    }
}

impl<B: RequestBody> OutgoingRequest<B> {
    /// Returns the message that carries the request to one instance of the queue group, or to the
    /// instance that the client's options name.
    pub(crate) fn outgoing(
        &self,
        reply: Option<Subject>,
        left: Option<Duration>,
        span: &Span,
    ) -> Result<Outgoing, Status> {
        self.outgoing_with(self.body.encode(), reply, left, span)
    }

    /// Converts the error of publishing the request to the status of the call.
    pub(crate) fn not_sent(&self, error: PublishError) -> Status {
        error.into_status(self.what())
    }

    /// Returns the request in words.
    pub(crate) fn what(&self) -> String {
        let length = self.body.encoded_len();
        format!("the request to {}, {length} bytes,", self.method_name())
    }

    /// Returns whether the call waits for the connection while that is lost.
    pub(crate) fn waits_for_ready(&self) -> bool {
        self.options.message.waits_for_ready || self.client.waits_for_ready()
    }
}

impl RequestTemplate {
    pub(crate) fn method(&self) -> &'static MethodDescriptor {
        self.client.method(self.method)
    }

    /// Returns the request that leaves after `layered` passed all layers. Its deadline is the one that was
    /// computed before the first layer, so that layers cannot extend the call.
    pub(crate) fn fill(&self, layered: &middleware::Request) -> OutgoingRequest<Bytes> {
        OutgoingRequest {
            client: self.client.clone(),
            method: self.method,
            body: layered.payload().clone(),
            options: CallOptions {
                timeout: None,
                limit: self.limit.map(Box::new),
                message: MessageOptions {
                    metadata: Ok(layered.metadata().clone()),
                    ..self.options.message.clone()
                },
                may_retry: self.options.may_retry,
                expires: self.options.expires,
            },
        }
    }
}
