//! `ServedStream`: one streaming call at the server, from its permit to its last frame.
//!
//! The handler and the driver of its frames run in one task. They wait for each other all the time (for
//! room in a frame, for credits, for messages), and in two tasks each such step would be a wake-up,
//! often on another core. In one task a handler's replies leave in the same poll that wrote them.
//!
//! | end | handler | recorded | the client gets |
//! |---|---|---|---|
//! | the handler's replies end, or fail | has returned, is dropped | its outcome, before END is cut | END with status and trailers |
//! | the handler panics | is dropped | `INTERNAL` | the replies written before, then END |
//! | the client sends RESET, or nothing for three heartbeats | is dropped | the stream's failure | nothing more |
//! | the deadline passes | is dropped | `DEADLINE_EXCEEDED` | RESET |
//! | the grace period ends | is dropped | `UNAVAILABLE` | RESET |
//!
//! A client learns at once that the server has begun to stop, by a flag in a frame, and its handler by its context.
//!
//! The client's END is no end of the call: it ends the requests, and the handler goes on.
//!
//! A handler under `#[rpc(detached)]` goes on where another one is dropped, until the grace period ends:
//! it runs to its end whatever its caller does. The stream ends as the table states and is recorded so.
//! Further reads of the requests fail with that outcome, the reply of the handler is dropped, and the
//! permit is held until the handler has ended.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use async_nats::Subject;
use bytes::Bytes;
use tracing::Span;

use crate::bus::FrameSink;
use crate::context::Context;
use crate::descriptor::MethodKind;
use crate::dispatch::arrival::Arrival;
use crate::dispatch::call_observer::CallObserver;
use crate::dispatch::format::Format;
use crate::dispatch::method_handler::OpeningFuture;
use crate::dispatch::permit::Permit;
use crate::dispatch::reply_source::WriteProgress;
use crate::dispatch::requests::Requests;
use crate::dispatch::served_method::ServedMethod;
use crate::execute::{BoxedHandler, Completion, Execution, Observer as _, on_blocking_thread};
use crate::status::Status;
use crate::stream::{
    Channel, FrameDestination, FrameTransport, FrameWriter, Machine, MessageReader, StreamAddress,
    StreamHeader,
};

/// A call with frames that was admitted: of a streaming method, or of a unary one whose request comes in
/// parts.
pub(super) struct ServedStream {
    pub(super) permit: Permit,
    pub(super) ctx: Context,
    pub(super) format: Format,
    pub(super) header: StreamHeader,
    pub(super) payload: Bytes,
    pub(super) arrival: Arrival,
}

/// The handler of a stream at work: opens the call, then writes its replies.
type StreamExecution = Execution<BoxedHandler<'static, SendCompletion>, CallObserver>;

/// How the sending of replies came to its end.
enum SendCompletion {
    /// The handler's stream has ended, and all of its replies are in frames.
    All,
    /// The stream between the peers ended first, with an outcome of its own; no more can be sent.
    Interrupted,
}

impl ServedStream {
    /// Runs the handler, and sends and receives its frames, until both directions are over. Frames for the
    /// client go to `reply`.
    pub(super) async fn run(self, reply: Subject) {
        // The permit is dropped last: a stream counts until its last frame has left.
        let Self {
            mut permit,
            ctx,
            format,
            header,
            payload,
            arrival,
        } = self;
        let method = Arc::clone(permit.method());
        let observer = CallObserver::new(&method, arrival.received);
        let address = method.address.new_stream_address();
        let machine = new_machine(&permit, &ctx, &header, address.clone(), arrival);
        let channel = Channel::new(machine);
        let sink: Arc<dyn FrameSink> = Arc::<Channel>::clone(&channel);
        // Registered before the first frame leaves: the client may reply to it at once.
        let registered = method
            .server
            .register_stream(&address.stream, &sink, &reply);
        let transport = FrameTransport {
            connection: Arc::clone(method.server.leaving()),
            own_subject: method.address.upstream(&address),
            destination: FrameDestination::Subject(reply.clone()),
            format: format.payloads().of_frames(),
        };
        let takes_stream = header.is_unary || method.takes_stream();
        let requests = match takes_stream {
            true => Requests::Received(MessageReader::server(Arc::clone(&channel))),
            false => Requests::Given(vec![payload]),
        };
        let opening = method.opening(&format, ctx.clone(), requests, &mut permit, observer.span());
        let replies = send_replies(Arc::clone(&channel), opening, ctx.clone());
        let mut running = RunningStream {
            method: &method,
            channel: &channel,
            execution: Execution::new(ctx, BoxedHandler::new(Box::pin(replies)), observer),
            is_done: false,
        };
        running.run(transport, takes_stream).await;
        // A handler whose stream ended first is given up here, unless it is detached.
        let goes_on = method.options.is_detached && !running.is_done;
        if !goes_on {
            running.execution.drop_handler();
        }
        let failure = method.server.failure_of(&channel, &reply);
        drop(registered);
        // Counts a stream that the peer, the deadline or the server ended before its handler did.
        running.execution.record(failure.as_ref());
        running.execution.observer().close();
        if goes_on {
            let stop = &method.server.grace_ended;
            running.execution.run_detached(stop).await;
        }
    }
}

/// Makes the server's end of a stream, whose messages count in the memory budget until they are read; those of a unary
/// call to its end.
fn new_machine(
    permit: &Permit,
    ctx: &Context,
    header: &StreamHeader,
    address: StreamAddress,
    arrival: Arrival,
) -> Machine {
    let method = permit.method();
    let machine = Machine::server(
        address,
        method.stream_options.limits_with(header.heartbeat),
        header.window,
        method.server.replying.max_payload(),
        ctx.deadline(),
        arrival.received,
    );
    let time_limit = method.time_limit(ctx, arrival.reached);
    let mut machine = machine.of_call(method.descriptor, time_limit);
    if let Some(memory) = permit.memory() {
        machine.receiving.hold_in(memory, header.is_unary);
    }
    machine
}

impl ServedMethod {
    /// Makes the call of a handler, which opens on a thread of its own if the method may block.
    ///
    /// Only the opening may block. The reply stream that it returns is polled by the stream's task: its
    /// messages are encoded into frames there.
    pub(super) fn opening(
        &self,
        format: &Format,
        ctx: Context,
        requests: Requests,
        permit: &mut Permit,
        span: &Span,
    ) -> OpeningFuture {
        let handler = format.streaming(&self.handler, self.descriptor);
        let opening = handler.call(ctx, requests);
        match self.options.is_blocking {
            true => on_blocking_thread(opening, span.clone(), permit.share_with_thread()),
            false => opening,
        }
    }

    /// Returns whether a caller of the method sends many requests.
    pub(super) fn takes_stream(&self) -> bool {
        matches!(
            self.descriptor.kind,
            MethodKind::ClientStreaming | MethodKind::Bidirectional
        )
    }
}

/// The handler of a stream, in turns with the driver of its frames.
struct RunningStream<'a> {
    method: &'a ServedMethod,
    channel: &'a Channel,
    execution: StreamExecution,
    is_done: bool,
}

impl RunningStream<'_> {
    /// Polls the handler and the driver until the driver has sent the last frame.
    ///
    /// With `accepts_first` the driver is polled first: a caller that streams cannot send before it
    /// has received the first frame. Otherwise the handler is, so that its first replies leave in the
    /// first frame.
    ///
    /// The deadline is the machine's, which resets both ends at it, and the end of the grace period is a
    /// reset of the machine ([`follow_stop`]). Either ends the driver, after it has sent the last frame, and
    /// with it the handler: so [`Execution::run`] has no part in this.
    async fn run(&mut self, transport: FrameTransport, accepts_first: bool) {
        let mut stop = pin!(follow_stop(self.method, self.channel));
        let mut is_stopped = false;
        let mut drive = pin!(self.channel.drive(transport));
        let mut drives_first = accepts_first;
        poll_fn(|cx| {
            if std::mem::take(&mut drives_first) && drive.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            self.poll_handler(cx);
            is_stopped = is_stopped || stop.as_mut().poll(cx).is_ready();
            drive.as_mut().poll(cx)
        })
        .await;
    }

    /// Polls the handler, and ends the sending direction with its outcome once it is ready: the outcome is
    /// recorded before the driver can send the frame with END.
    fn poll_handler(&mut self, cx: &mut TaskContext<'_>) {
        if self.is_done {
            return;
        }
        let Poll::Ready(result) = self.execution.poll(None, cx) else {
            return;
        };
        self.is_done = true;
        // The handler is dropped before its caller learns that it has ended.
        self.execution.drop_handler();
        let failure = match result {
            Ok(SendCompletion::Interrupted) => return,
            Ok(SendCompletion::All) => None,
            Err(status) => Some(status),
        };
        self.execution.record(failure.as_ref());
        let trailers = self.execution.ctx().map(Context::take_reply_metadata);
        self.channel.finish(failure, trailers.unwrap_or_default());
    }
}

/// Tells the client when the server begins to stop, and resets the stream when the grace period ends.
///
/// One future for both, of which one step is polled at a time: each poll of a stream polls it, and each step takes a
/// lock that all streams of the server share.
async fn follow_stop(method: &ServedMethod, channel: &Channel) {
    method.server.stop.wait().await;
    channel.announce_stop();
    method.server.grace_ended.cancelled().await;
    let name = method.descriptor.full_name;
    if let Err(status) = Completion::<()>::Stopped.into_result(name, None) {
        channel.reset(status);
    }
}

/// Opens the call, and writes its replies into frames as long as the client's credits last.
///
/// OPEN is cut with the headers of the context once the handler has returned its stream; the driver sends
/// it in one frame with the first replies where those are ready in the same poll. Headers that are set later
/// leave with the trailers.
async fn send_replies(
    channel: Arc<Channel>,
    opening: OpeningFuture,
    ctx: Context,
) -> Result<SendCompletion, Status> {
    let mut replies = opening.await?;
    channel.open(ctx.take_headers());
    loop {
        let Some(writer) = poll_fn(|cx| channel.poll_writer(cx)).await else {
            return Ok(SendCompletion::Interrupted);
        };
        let mut frame = UnsentFrame {
            channel: &channel,
            writer: Some(writer),
        };
        let progress =
            poll_fn(|cx| frame.poll_write(|writer| replies.as_mut().poll_write(cx, writer)));
        let progress = progress.await;
        drop(frame);
        if let WriteProgress::End(result) = progress {
            return result.map(|()| SendCompletion::All);
        }
    }
}

/// A frame that replies are written into. It goes to the channel when dropped, also by a panic: replies
/// that a handler yielded before it panicked are sent before the failure.
struct UnsentFrame<'a> {
    channel: &'a Channel,
    writer: Option<FrameWriter>,
}

impl UnsentFrame<'_> {
    fn poll_write(
        &mut self,
        write: impl FnOnce(&mut FrameWriter) -> Poll<WriteProgress>,
    ) -> Poll<WriteProgress> {
        match &mut self.writer {
            Some(writer) => write(writer),
            None => Poll::Ready(WriteProgress::Flush),
        }
    }
}

impl Drop for UnsentFrame<'_> {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            self.channel.submit(writer);
        }
    }
}
