//! `OpenStream`: opens a stream: sends its request, starts its task, and waits until the server has accepted it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use async_nats::{HeaderMap, HeaderValue, Subject};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;

use crate::bus::{NoRuntime, PublishError};
use crate::client::call_errors;
use crate::client::call_options::parent_ended;
use crate::client::drive_stream::drive;
use crate::client::request::OutgoingRequest;
use crate::client::retry_loop::{Attempt, RetryLoop};
use crate::context::TimeLimit;
use crate::descriptor::MethodKind;
use crate::metadata::Metadata;
use crate::observe::ClientCall;
use crate::status::{Reason, Status};
use crate::stream::{
    Channel, FrameDestination, FrameTransport, Machine, MessageReader, StreamHeader, StreamLimits,
    StreamOptions,
};
use crate::wire;
use crate::wire::header::MICRO_STREAM;

/// A stream that is not open yet.
pub(crate) struct OpenStream {
    /// Body: the first message if the request carries one, empty if all messages follow in frames.
    pub(crate) request: OutgoingRequest<Bytes>,
    pub(crate) stream_options: StreamOptions,
    /// `None` by default: unlike a unary call a stream may last forever.
    pub(crate) limit: Option<TimeLimit>,
    pub(crate) waits_for: WaitsFor,
}

/// The frame of the server that completes the opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// ACCEPT: the server named itself, and messages can be sent to it.
    Accept,
    /// OPEN: the handler returned its stream. Only then is an early error of the handler the error of
    /// opening the stream.
    Open,
}

/// A stream that the server has accepted, or that waits for that.
pub(crate) struct StartedStream {
    pub(crate) reader: MessageReader,
    /// Hands the [`ClientCall`] to the task that drives the stream and sees its end.
    observer: oneshot::Sender<ClientCall>,
}

/// Reason why the request of a stream was not sent.
enum StartError {
    /// The first message does not fit into the request.
    TooLarge,
    Status(Status),
}

/// One opening in a [`RetryLoop`].
struct OpenAttempt<'a> {
    stream: &'a OpenStream,
    /// The attempt in progress. Opening a stream allocates a channel and spawns a task in any case, so
    /// that a box more is not worth a state machine by hand.
    running: Option<Running<'a>>,
    /// Whether another attempt may help after the last failure.
    can_repeat: bool,
}

/// Reason why an attempt did not succeed.
enum OpenError {
    /// The request was sent; the policy decides whether it is sent again.
    Failed(Status),
    /// Another attempt cannot help.
    Final(Status),
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<StartedStream, OpenError>> + Send + 'a>>;

/// Opens a stream, and sends the request again where the retry policy allows it.
///
/// The reader owns the call: dropping it resets the stream, and so does dropping this future.
pub(crate) async fn open(stream: OpenStream) -> Result<MessageReader, Status> {
    let attempt = OpenAttempt {
        stream: &stream,
        running: None,
        can_repeat: false,
    };
    let mut attempts = pin!(RetryLoop::new(attempt));
    let opened = poll_fn(|cx| attempts.as_mut().poll_attempts(cx)).await;
    let call = attempts.call();
    match opened {
        Ok(started) => {
            // The call goes on until the stream ends. The driver waits for it even where the stream has
            // ended already; only a runtime that shuts down has dropped the driver.
            let _ = started.observer.send(std::mem::take(call));
            Ok(started.reader)
        }
        Err(status) => {
            call.end(Some(status.code()));
            Err(status)
        }
    }
}

impl Attempt for OpenAttempt<'_> {
    type Body = Bytes;
    type Output = StartedStream;

    fn request(&self) -> &OutgoingRequest<Bytes> {
        &self.stream.request
    }

    fn deadline(&self) -> Option<Instant> {
        self.stream.limit.map(|limit| limit.deadline)
    }

    fn poll_attempt(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        span: &Span,
    ) -> Poll<Result<StartedStream, Status>> {
        let stream = self.stream;
        let running = self
            .running
            .get_or_insert_with(|| Box::pin(stream.attempt(span.clone())));
        let started = ready!(running.as_mut().poll(cx));
        self.running = None;
        self.can_repeat = matches!(started, Err(OpenError::Failed(_)));
        Poll::Ready(started.map_err(|error| match error {
            OpenError::Failed(status) | OpenError::Final(status) => status,
        }))
    }

    fn can_repeat(&self) -> bool {
        self.can_repeat
    }
}

impl OpenStream {
    /// Makes one attempt, in parts if the first message does not fit into the request.
    async fn attempt(&self, span: Span) -> Result<StartedStream, OpenError> {
        let (payload, has_message) = match self.request.descriptor().kind {
            MethodKind::Unary | MethodKind::ServerStreaming => (self.request.body.clone(), true),
            MethodKind::ClientStreaming | MethodKind::Bidirectional => {
                (wire::opening_payload(), false)
            }
        };
        let started = match self.start(&span, payload, None).await {
            Ok(started) => started,
            // A deadline that passed, an invalid header and a connection that is closed for good do not
            // change with another attempt.
            Err(StartError::Status(status)) => return Err(OpenError::Final(status)),
            Err(StartError::TooLarge) => {
                let started = self.open_in_parts(&span).await;
                return started.map_err(OpenError::Final);
            }
        };
        let waited = self.wait(&started.reader, self.waits_for).await;
        waited.map_err(|status| {
            OpenError::Failed(match has_message {
                true => status,
                false => self.of_opening(&started.reader, status),
            })
        })?;
        Ok(started)
    }

    /// Opens the stream without a first message, and sends that once the server has accepted, in as many
    /// frames as it takes. A failure is final.
    pub(crate) async fn open_in_parts(&self, span: &Span) -> Result<StartedStream, Status> {
        let length = self.request.body.len() as u64;
        let started = match self
            .start(span, wire::opening_payload(), Some(length))
            .await
        {
            Ok(started) => started,
            Err(StartError::Status(status)) => return Err(status),
            // The headers alone are too large.
            Err(StartError::TooLarge) => {
                let max = self.request.client.connection().max_payload();
                return Err(self.request.not_sent(PublishError::TooLarge { max }));
            }
        };
        let reader = &started.reader;
        let accepted = self.wait(reader, WaitsFor::Accept).await;
        accepted.map_err(|status| self.of_opening(reader, status))?;
        send_whole(reader.channel(), self.request.body.clone()).await?;
        self.wait(reader, self.waits_for).await?;
        Ok(started)
    }

    /// Publishes the request, and spawns the task that drives the stream; waits for the connection where the call does.
    /// `announced` is the length of the message that follows in parts, if one does.
    async fn start(
        &self,
        span: &Span,
        payload: Bytes,
        announced: Option<u64>,
    ) -> Result<StartedStream, StartError> {
        loop {
            if let Some(started) = self.try_start(span, payload.clone(), announced).await? {
                return Ok(started);
            }
            let waiting = self.wait_for_connection();
            waiting.await.map_err(StartError::Status)?;
        }
    }

    /// Waits for the connection until the deadline of the call, or the end of its parent.
    async fn wait_for_connection(&self) -> Result<(), Status> {
        let request = &self.request;
        let deadline = async {
            match &self.limit {
                Some(limit) => tokio::time::sleep_until(limit.deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = request.client.connection().ready() => {
                ready.map_err(|error| request.not_sent(error))
            }
            () = parent_ended(request.options.message.parent.as_ref()) => Err(request.parent_ended()),
            () = deadline => match &self.limit {
                Some(limit) => Err(request.not_sent_in_time(limit)),
                None => std::future::pending().await,
            },
        }
    }

    /// Makes one attempt to publish the request; `None` if there is no connection, and the call waits for it.
    async fn try_start(
        &self,
        span: &Span,
        payload: Bytes,
        announced: Option<u64>,
    ) -> Result<Option<StartedStream>, StartError> {
        let request = &self.request;
        if request.client.is_without_streams() {
            return Err(StartError::Status(self.without_streams()));
        }
        let connection = request.client.connection();
        let limits = self.limits();
        let now = Instant::now();
        let deadline = self.limit.map(|limit| limit.deadline);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
        if let Some(limit) = &self.limit
            && left.is_some_and(|left| left.is_zero())
        {
            return Err(StartError::Status(request.deadline_exceeded(limit)));
        }
        if request.options.message.has_ended_parent() {
            return Err(StartError::Status(request.parent_ended()));
        }
        NoRuntime::check().map_err(|none| {
            let what = format_args!("{} is not called", request.method_name());
            StartError::Status(none.into_status(what))
        })?;
        let machine = Machine::client(limits, connection.max_payload(), deadline, now)
            .of_call(request.descriptor(), self.limit);
        let channel = Channel::new(machine);
        let sink = Arc::clone(&channel);
        let destination = request.client.subject(request.method);
        let (mut slot, own) = connection
            .mux()
            .reserve_for_stream(sink, destination)
            .map_err(StartError::Status)?;
        let mut outgoing = request
            .outgoing_with(payload, Some(own.clone()), left, span)
            .map_err(StartError::Status)?;
        let headers = outgoing.headers.get_or_insert_with(HeaderMap::new);
        headers.insert(MICRO_STREAM, open_header(&limits, announced));
        match connection.publish_request(&mut slot, outgoing).await {
            Ok(()) => {}
            Err(PublishError::TooLarge { .. }) => return Err(StartError::TooLarge),
            Err(PublishError::Disconnected) if request.waits_for_ready() => {
                return Ok(None);
            }
            Err(error) => return Err(StartError::Status(request.not_sent(error))),
        }
        let (observer, observed) = oneshot::channel();
        let parent = request.options.message.parent.clone();
        let transport = self.transport(own);
        tokio::spawn(drive(
            Arc::clone(&channel),
            slot,
            transport,
            parent,
            observed,
        ));
        Ok(Some(StartedStream {
            reader: MessageReader::client(channel),
            observer,
        }))
    }

    /// Returns the error of a call to a service that announces no streams.
    fn without_streams(&self) -> Status {
        let method = self.request.method_name();
        match self.request.descriptor().kind {
            MethodKind::Unary => {
                let bytes = self.request.body.len();
                let max = self.request.client.connection().max_payload();
                call_errors::without_streams(format_args!(
                    "a request to {method} of {bytes} bytes, which does not fit into one NATS message of {max} bytes \
                     with its headers,"
                ))
            }
            _ => call_errors::without_streams(format_args!("a call of {method}")),
        }
    }

    /// Returns the failure of an opening without a message. A service of streams fails one with a reason before it
    /// accepts, or after that; without either the failure is of a service that has read the opening as a request.
    fn of_opening(&self, reader: &MessageReader, status: Status) -> Status {
        let has_accepted = reader
            .channel()
            .inspect(|machine| machine.server_address().is_some());
        if has_accepted || status.reason().is_some() {
            return status;
        }
        let method = self.request.method_name();
        match self.request.descriptor().kind {
            MethodKind::Unary | MethodKind::ServerStreaming => {
                let bytes = self.request.body.len();
                call_errors::failed_opening(
                    &status,
                    format_args!("the request to {method}, {bytes} bytes, goes in parts"),
                )
            }
            _ => call_errors::failed_opening(
                &status,
                format_args!("the messages to {method} follow it"),
            ),
        }
    }

    /// Returns the limits of this end: the call's options, else the client's, else the defaults.
    fn limits(&self) -> StreamLimits {
        self.stream_options
            .or(self.request.client.stream_options())
            .limits()
    }

    /// Returns the way to the server. Its subject is known once ACCEPT named instance and stream; until
    /// then there is only the base that these are appended to.
    fn transport(&self, own_subject: Subject) -> FrameTransport {
        FrameTransport {
            connection: Arc::clone(self.request.client.connection()),
            own_subject,
            destination: FrameDestination::ServiceBase(self.request.client.base().clone()),
            format: self.request.client.format().of_frames(),
        }
    }

    /// Waits for the frame that completes the opening, or for the end of the stream.
    async fn wait(&self, reader: &MessageReader, waits_for: WaitsFor) -> Result<(), Status> {
        let opened = reader.channel().wait_until(|machine| {
            let is_open = match waits_for {
                WaitsFor::Accept => machine.server_address().is_some(),
                WaitsFor::Open => machine.headers().is_some(),
            };
            match machine.end() {
                _ if is_open => Some(Ok(())),
                Some(end) => Some(end.clone()),
                None => None,
            }
        });
        opened.await.map_err(|status| match status.reason() {
            Some(Reason::NoResponders) => self.request.no_responders(),
            _ => status,
        })
    }
}

/// Returns the value of `Micro-Stream`: protocol version, window and heartbeat of this end.
fn open_header(limits: &StreamLimits, announced: Option<u64>) -> HeaderValue {
    let open = StreamHeader {
        window: limits.window,
        heartbeat: limits.heartbeat,
        is_unary: announced.is_some(),
        length: announced.unwrap_or_default(),
    };
    HeaderValue::from(open.encode().as_str())
}

/// Sends the one message that this end has to send, in as many frames as it takes.
async fn send_whole(channel: &Channel, message: Bytes) -> Result<(), Status> {
    let length = message.len();
    let mut encoded = Some(message);
    poll_fn(|cx| channel.poll_send(cx, &(), length, &mut encoded)).await?;
    channel.finish(None, Metadata::new());
    Ok(())
}
