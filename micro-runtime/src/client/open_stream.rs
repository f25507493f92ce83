//! `OpenStream`: opens a stream, which means to send its request, to start the task that drives it, and
//! to wait until the server has accepted it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Instant;

use async_nats::{HeaderMap, HeaderValue, Subject};
use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::Span;

use crate::bus::{PublishError, ReplySlot};
use crate::client::call_options::parent_ended;
use crate::client::request::OutgoingRequest;
use crate::client::retry_loop::{Attempt, RetryLoop};
use crate::context::Context;
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
    pub(crate) deadline: Option<Instant>,
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
        self.stream.deadline
    }

    fn poll_attempt(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        _number: u32,
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
        let payload = match self.request.descriptor().kind {
            MethodKind::Unary | MethodKind::ServerStreaming => self.request.body.clone(),
            MethodKind::ClientStreaming | MethodKind::Bidirectional => wire::opening_payload(),
        };
        let started = match self.start(&span, payload, false).await {
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
        waited.map_err(OpenError::Failed)?;
        Ok(started)
    }

    /// Opens the stream without a first message, and sends that once the server has accepted, in as many
    /// frames as it takes. A failure is final.
    pub(crate) async fn open_in_parts(&self, span: &Span) -> Result<StartedStream, Status> {
        let started = match self.start(span, wire::opening_payload(), true).await {
            Ok(started) => started,
            Err(StartError::Status(status)) => return Err(status),
            // The headers alone are too large.
            Err(StartError::TooLarge) => {
                let max = self.request.client.connection().max_payload();
                return Err(self.request.not_sent(PublishError::TooLarge { max }));
            }
        };
        let reader = &started.reader;
        self.wait(reader, WaitsFor::Accept).await?;
        send_whole(reader.channel(), self.request.body.clone()).await?;
        self.wait(reader, self.waits_for).await?;
        Ok(started)
    }

    /// Publishes the request, and spawns the task that drives the stream.
    async fn start(
        &self,
        span: &Span,
        payload: Bytes,
        is_unary: bool,
    ) -> Result<StartedStream, StartError> {
        let request = &self.request;
        let connection = request.client.connection();
        let limits = self.limits();
        let now = Instant::now();
        let left = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(now));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(StartError::Status(request.deadline_exceeded()));
        }
        if request.options.message.has_ended_parent() {
            return Err(StartError::Status(request.parent_ended()));
        }
        let machine = Machine::client(limits, connection.max_payload(), self.deadline, now);
        let channel = Channel::new(machine);
        let sink = Arc::clone(&channel);
        let (slot, own) = connection.mux().reserve_for_stream(sink);
        let mut outgoing = request
            .outgoing_with(payload, own.clone(), left, span)
            .map_err(StartError::Status)?;
        let headers = outgoing.headers.get_or_insert_with(HeaderMap::new);
        headers.insert(MICRO_STREAM, open_header(&limits, is_unary));
        match connection.publish(outgoing).await {
            Ok(()) => {}
            Err(PublishError::TooLarge { .. }) => return Err(StartError::TooLarge),
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
        Ok(StartedStream {
            reader: MessageReader::client(channel),
            observer,
        })
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
        // The machine has no descriptor, and so no name of the method for its texts.
        opened.await.map_err(|status| match status.reason() {
            Some(Reason::NoResponders) => self.request.no_responders(),
            Some(Reason::Deadline) => self.request.deadline_exceeded(),
            _ => status,
        })
    }
}

/// Returns the value of `Micro-Stream`: protocol version, window and heartbeat of this end.
fn open_header(limits: &StreamLimits, is_unary: bool) -> HeaderValue {
    let open = StreamHeader {
        window: limits.window,
        heartbeat: limits.heartbeat,
        is_unary,
    };
    HeaderValue::from(open.encode().as_str())
}

/// Drives a stream until both directions are over, and resets it when its parent ends.
///
/// It runs in a task of its own, because frames must leave and time must pass while the application does
/// not poll its halves. It also ends the span and the metrics of the call, which arrive in `observed`
/// once the stream is open.
pub(crate) async fn drive(
    channel: Arc<Channel>,
    slot: ReplySlot,
    transport: FrameTransport,
    parent: Option<Context>,
    observed: oneshot::Receiver<ClientCall>,
) {
    let mut driving = pin!(channel.drive(transport));
    tokio::select! {
        () = &mut driving => {}
        () = parent_ended(parent.as_ref()) => {
            channel.reset(Reason::ParentEnded.status(
                "the call that the stream was a part of has ended",
            ));
            driving.await;
        }
    }
    // The subject is free before the call counts as ended.
    drop(slot);
    if let Ok(mut call) = observed.await {
        let failure = channel.inspect(|machine| machine.end().and_then(|end| end.clone().err()));
        call.end(failure.map(|status| status.code()));
    }
}

/// Sends the one message that this end has to send, in as many frames as it takes.
async fn send_whole(channel: &Channel, message: Bytes) -> Result<(), Status> {
    let length = message.len();
    let mut encoded = Some(message);
    poll_fn(|cx| channel.poll_send(cx, &(), length, &mut encoded)).await?;
    channel.finish(None, Metadata::new());
    Ok(())
}
