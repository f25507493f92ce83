//! `EncodedCall`: a call whose request is encoded already, and how it opens a stream through middleware.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::time::Instant;

use crate::client::call_bounds::CallBounds;
use crate::client::client::Client;
use crate::client::open_stream;
use crate::client::open_stream::{OpenStream, WaitsFor};
use crate::client::request::{OutgoingRequest, RequestTemplate};
use crate::context::TimeLimit;
#[cfg(feature = "json")]
use crate::descriptor::MethodKind;
use crate::middleware;
use crate::middleware::{Response, ResponseFuture, Terminal};
use crate::status::{Code, Status};
use crate::stream::{MessageReader, StreamOptions};
use crate::sync::lock;

/// A call with a request in bytes: what streaming calls and calls of a `DynamicClient` have in common.
pub(crate) struct EncodedCall {
    pub(crate) request: OutgoingRequest<Bytes>,
    pub(crate) stream_options: StreamOptions,
}

impl EncodedCall {
    pub(crate) fn new(client: &Client, method: usize, body: Bytes) -> Self {
        Self {
            request: OutgoingRequest::new(client, method, body),
            stream_options: StreamOptions::new(),
        }
    }

    /// Waits for the encoding of the request. The time that it takes is a part of the call's, and ends it.
    ///
    /// # Errors
    ///
    /// That of `encoding`; `DEADLINE_EXCEEDED` at the deadline of the call, `CANCELLED` at the end of its parent.
    #[cfg(feature = "json")]
    pub(crate) async fn encode(
        &mut self,
        encoding: impl Future<Output = Result<Bytes, Status>>,
    ) -> Result<(), Status> {
        let request = &mut self.request;
        let method = request.descriptor();
        let now = Instant::now();
        let limit = match method.kind {
            MethodKind::Unary => Some(request.time_limit(now)),
            _ => request.stream_limit(now),
        };
        let bounds = CallBounds {
            method: method.full_name,
            limit,
            parent: request.options.message.parent.clone(),
        };
        request.body = bounds.encode(encoding).await?;
        request.options.limit = limit.map(Box::new);
        Ok(())
    }

    /// Opens the stream, through the client's middleware if there is any.
    ///
    /// Middleware sees the opening of a stream as a call: a request with the first message, if that goes
    /// with it, and a response without a message once the stream is open. The stream itself bypasses the
    /// layers, since a `tower` service has one response.
    pub(crate) async fn open(self, waits_for: WaitsFor) -> Result<MessageReader, Status> {
        let Self {
            request,
            stream_options,
        } = self;
        let limit = request.stream_limit(Instant::now());
        let Some(stacks) = request.client.stacks(request.method) else {
            return open_stream::open(OpenStream {
                request,
                stream_options,
                limit,
                waits_for,
            })
            .await;
        };
        let method = request.descriptor();
        let bounds = CallBounds {
            method: method.full_name,
            limit,
            parent: request.options.message.parent.clone(),
        };
        bounds.check()?;
        let (template, metadata, body) = request.into_template(limit)?;
        let opened = Arc::new(Mutex::new(None));
        let terminal = Arc::new(ClientStreamTerminal {
            limit,
            template,
            stream_options,
            waits_for,
            opened: Arc::clone(&opened),
        });
        let stacks = stacks.into_iter();
        let deadline = limit.map(|limit| limit.deadline);
        let request = middleware::Request::new(method, metadata, deadline, body, stacks, terminal);
        bounds.pass(request.start()).await?;
        let opened = lock(&opened).take();
        opened.ok_or_else(|| {
            let text =
                "middleware responded to a streaming call itself, which it can only do with an error";
            Status::new(Code::Internal, text)
        })
    }
}

/// End of the client's middleware for streams: opens the stream on the wire.
struct ClientStreamTerminal {
    template: RequestTemplate,
    limit: Option<TimeLimit>,
    stream_options: StreamOptions,
    waits_for: WaitsFor,
    /// The open stream, which no [`Response`] can carry. A layer that calls twice leaves the second one;
    /// the first is dropped, and so reset.
    opened: Arc<Mutex<Option<MessageReader>>>,
}

impl Terminal for ClientStreamTerminal {
    fn call(&self, request: middleware::Request) -> ResponseFuture {
        let stream = OpenStream {
            limit: self.limit,
            request: self.template.fill(&request),
            stream_options: self.stream_options,
            waits_for: self.waits_for,
        };
        let opened = Arc::clone(&self.opened);
        Box::pin(async move {
            let reader = open_stream::open(stream).await?;
            let headers = reader.channel().headers();
            *lock(&opened) = Some(reader);
            Ok(Response::new(Bytes::new(), headers))
        })
    }
}
