//! One request with everything that was said about it: how long, with which headers, in which trace.

use std::time::{Duration, Instant};

use async_nats::{Message, StatusCode, Subject};
use bytes::Bytes;
use tracing::Span;

use crate::bus::{Outgoing, PublishError};
use crate::client::client::Client;
use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::metadata::Metadata;
use crate::observe;
use crate::status::{Reason, Status};
use crate::wire;

/// A wait that nobody will see the end of, for timeouts too large to add to a clock.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// What is sent: a message, or bytes that middleware has seen.
pub(crate) trait RequestBody {
    fn encode(&self) -> Bytes;
    fn encoded_len(&self) -> usize;
}

/// A message that is encoded when it is sent.
pub(crate) struct TypedBody<M>(pub(crate) M);

/// A request with everything that was said about it.
pub(crate) struct OutgoingRequest<B> {
    pub(crate) client: Client,
    pub(crate) method: usize,
    pub(crate) body: B,
    pub(crate) timeout: Option<Duration>,
    pub(crate) parent: Option<Context>,
    pub(crate) may_retry: bool,
    /// Metadata, or why it cannot be sent.
    pub(crate) metadata: Result<Metadata, Status>,
}

#[derive(Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) deadline: Instant,
    /// Whether the wire's constant already says how long we wait.
    pub(crate) is_default: bool,
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
    pub(crate) fn descriptor(&self) -> &'static MethodDescriptor {
        self.client.method(self.method)
    }

    /// The same request with an encoded body.
    pub(crate) fn with_body(&self, body: Bytes) -> OutgoingRequest<Bytes> {
        OutgoingRequest {
            client: self.client.clone(),
            method: self.method,
            body,
            timeout: self.timeout,
            parent: self.parent.clone(),
            may_retry: self.may_retry,
            metadata: self.metadata.clone(),
        }
    }

    /// Adds a header; what is wrong with it is the error of the call.
    pub(crate) fn add_header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        if let Ok(metadata) = &mut self.metadata
            && let Err(status) = metadata.append(name, value)
        {
            self.metadata = Err(status);
        }
    }

    /// When this call must have ended: the shortest of what it, its parent and the defaults allow.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        self.clock(now).deadline
    }

    pub(crate) fn clock(&self, now: Instant) -> Clock {
        let method = self.descriptor();
        let own = self.timeout.unwrap_or_else(|| self.client.timeout(method));
        let deadline = now.checked_add(own).unwrap_or(now + FOREVER);
        let inherited = self.parent.as_ref().and_then(Context::deadline);
        match inherited {
            Some(inherited) if inherited < deadline => Clock {
                deadline: inherited,
                is_default: false,
            },
            _ => Clock {
                deadline,
                is_default: own == wire::DEFAULT_TIMEOUT && method.timeout.is_none(),
            },
        }
    }

    pub(crate) fn method_name(&self) -> &'static str {
        self.descriptor().full_name
    }

    pub(crate) fn too_late(&self) -> Status {
        Reason::Deadline.status(format!(
            "{} did not answer before the deadline",
            self.method_name()
        ))
    }

    pub(crate) fn no_responders(&self) -> Status {
        Reason::NoResponders.status(format!("no instance serves {}", self.method_name()))
    }

    pub(crate) fn parent_ended(&self) -> Status {
        let text = format!(
            "the call that {} was a part of has ended",
            self.method_name()
        );
        Reason::ParentEnded.status(text)
    }
}

impl<B: RequestBody> OutgoingRequest<B> {
    pub(crate) fn outgoing(
        &self,
        reply: Subject,
        left: Option<Duration>,
        span: &Span,
    ) -> Result<Outgoing, Status> {
        let mut headers = None;
        match &self.metadata {
            Ok(metadata) => wire::encode_metadata(&mut headers, metadata),
            Err(status) => return Err(status.clone()),
        }
        if let Some(parent) = &self.parent {
            wire::forward_trace(&mut headers, parent.trace());
        }
        // A trace of our own goes on from this call, and so stands in for the parent's.
        observe::inject(span, &mut headers);
        if let Some(left) = left {
            wire::encode_timeout(&mut headers, left);
        }
        if self.client.is_json() {
            wire::encode_json(&mut headers);
        }
        Ok(Outgoing {
            subject: self.client.subject(self.method).clone(),
            reply: Some(reply),
            headers,
            payload: self.body.encode(),
        })
    }

    pub(crate) fn not_sent(&self, error: PublishError) -> Status {
        let length = self.body.encoded_len();
        error.into_status(format_args!(
            "the request to {}, {length} bytes,",
            self.method_name()
        ))
    }
}

impl<B> OutgoingRequest<B> {
    /// Tells a success from what NATS says and from a failure.
    pub(crate) fn read(&self, reply: Result<Message, Status>) -> Result<Message, Status> {
        let reply = reply?;
        if reply.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(self.no_responders());
        }
        match &reply.headers {
            Some(headers) => match wire::decode_status(headers, &reply.payload) {
                Some(status) => Err(status),
                None => Ok(reply),
            },
            None => Ok(reply),
        }
    }
}
