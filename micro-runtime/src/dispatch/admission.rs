//! From a request to a running call: reads the headers, takes the permits, makes the call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;

use crate::context::{Context, ContextHeaders};
use crate::dispatch::by_hand::ByHandCall;
use crate::dispatch::handler::MethodHandler;
use crate::dispatch::permit::Permit;
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::streaming::StreamCall;
use crate::dispatch::transcode::Format;
use crate::dispatch::unary::ServedCall;
use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::stream::StreamHeader;
use crate::wire;
use crate::wire::ContentType;
use crate::wire::header::MICRO_STREAM;

/// A call that may begin.
enum Admitted {
    Call(ServedCall),
    Stream(StreamCall),
    /// A streaming call by hand, without frames.
    ByHand(ByHandCall),
}

/// What the headers of a request say.
struct RequestHeaders {
    timeout: Option<Duration>,
    context: ContextHeaders,
    open: Option<StreamHeader>,
}

impl RequestHeaders {
    fn read(headers: Option<&HeaderMap>) -> Result<Self, Status> {
        let Some(headers) = headers else {
            return Ok(Self {
                timeout: None,
                context: ContextHeaders::default(),
                open: None,
            });
        };
        let open = headers.get(MICRO_STREAM);
        Ok(Self {
            timeout: wire::decode_timeout(headers)?,
            context: ContextHeaders::read(Some(headers))?,
            open: open
                .map(|open| StreamHeader::decode(open.as_str()))
                .transpose()?,
        })
    }
}

impl ServedMethod {
    pub(super) async fn dispatch(self: &Arc<Self>, message: Message) {
        self.dispatch_as(message, None).await;
    }

    /// With a name the answer is signed with it.
    pub(super) async fn dispatch_as(self: &Arc<Self>, message: Message, signer: Option<&Arc<str>>) {
        let received = Instant::now();
        let reply = match &message.reply {
            None => None,
            Some(_) => match self.shared.reply_subject(&message, self.method.full_name) {
                Some(reply) => Some(reply),
                None => return,
            },
        };
        let headers = message.headers.as_ref();
        let (format, admitted) = match self.format(headers) {
            Ok(format) => {
                let admitted = RequestHeaders::read(headers)
                    .and_then(|request| self.admit(request, &format, message.payload, received));
                (format, admitted)
            }
            Err(status) => (Format::Protobuf, Err(status)),
        };
        match (admitted, reply) {
            (Ok(Admitted::Call(call)), reply) => call.replying_to(reply, signer).start().await,
            (Ok(Admitted::Stream(call)), Some(reply)) => {
                self.shared.tasks.spawn(call.run(reply));
            }
            (Ok(Admitted::ByHand(call)), Some(reply)) => {
                self.shared.tasks.spawn(call.run(reply));
            }
            (Ok(_), None) => {
                let method = self.method.full_name;
                tracing::debug!(method, "a streaming call has nowhere to send its replies");
            }
            (Err(status), reply) => {
                let metadata = Metadata::new().signed(signer.map(|id| &**id));
                self.refuse(status, &format, reply, received, metadata)
                    .await;
            }
        }
    }

    /// In what the caller writes, if that is served here.
    pub(super) fn format(&self, headers: Option<&HeaderMap>) -> Result<Format, Status> {
        match headers.map_or(Ok(ContentType::Protobuf), wire::content_type)? {
            ContentType::Protobuf => Ok(Format::Protobuf),
            ContentType::Json => Ok(Format::Json(self.home.json.get()?)),
        }
    }

    async fn refuse(
        &self,
        status: Status,
        format: &Format,
        reply: Option<Subject>,
        received: Instant,
        metadata: Metadata,
    ) {
        tracing::debug!(method = self.method.full_name, %status, "refused a request");
        self.stats.record(received.elapsed(), Some(&status));
        if let Some(reply) = reply {
            self.shared
                .answer_in(format, None, reply, Err(status), metadata)
                .await;
        }
        let micros = || received.elapsed().as_micros();
        tracing::trace!(method = self.method.full_name, micros = micros(), "replied");
    }

    /// Takes a permit and makes the call; nothing of the handler runs yet.
    fn admit(
        self: &Arc<Self>,
        request: RequestHeaders,
        format: &Format,
        payload: Bytes,
        received: Instant,
    ) -> Result<Admitted, Status> {
        let is_unary = matches!(self.handler, MethodHandler::Unary(_));
        let is_stream = !is_unary && request.open.is_some();
        let timeouts = self.shared.timeouts;
        // A stream has a deadline only if its caller says so.
        let timeout = match request.timeout {
            None if is_stream => None,
            told => Some(told.unwrap_or(self.options.timeout)),
        };
        if let Some(timeout) = timeout
            && timeout < timeouts.min
        {
            return Err(too_short(self.method.full_name, timeout));
        }
        let permit = Permit::acquire(self, request.open.is_some())?;
        let deadline = timeout.and_then(|timeout| received.checked_add(timeout.min(timeouts.max)));
        let ctx = Context::of_call(self.method, request.context, deadline);
        Ok(match (&self.handler, request.open) {
            (MethodHandler::Unary(handler), None) => {
                let handler = format.around_unary(handler, self.method);
                let future = handler.call(ctx.clone(), payload);
                Admitted::Call(ServedCall::new(
                    permit,
                    ctx,
                    format.clone(),
                    future,
                    received,
                ))
            }
            (_, Some(open)) => Admitted::Stream(StreamCall {
                permit,
                ctx,
                format: format.clone(),
                open,
                payload,
                received,
            }),
            (MethodHandler::Streaming(_), None) => Admitted::ByHand(ByHandCall {
                permit,
                ctx,
                format: format.clone(),
                payload,
                received,
            }),
        })
    }
}

fn too_short(name: &str, timeout: Duration) -> Status {
    Reason::Deadline.status(format!(
        "{timeout:?} is less than this server takes calls of {name} for"
    ))
}
