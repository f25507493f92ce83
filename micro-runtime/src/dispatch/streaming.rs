//! `StreamCall`: one streaming call at the server. The handler and the driver of its frames run in
//! one task.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use async_nats::Subject;
use bytes::Bytes;
use tracing::Span;

use crate::context::Context;
use crate::descriptor::MethodKind;
use crate::dispatch::call_observer::CallObserver;
use crate::dispatch::handler::OpeningFuture;
use crate::dispatch::permit::Permit;
use crate::dispatch::replies::WriteProgress;
use crate::dispatch::requests::Requests;
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::transcode::Format;
use crate::execute::{BoxedHandler, Completion, Execution, Observer as _, on_blocking_thread};
use crate::status::Status;
use crate::stream::{
    Channel, FrameDestination, FrameTransport, FrameWriter, Machine, MessageReader, StreamHeader,
};

/// A streaming call that was admitted.
pub(super) struct StreamCall {
    pub(super) permit: Permit,
    pub(super) ctx: Context,
    pub(super) format: Format,
    pub(super) open: StreamHeader,
    pub(super) payload: Bytes,
    pub(super) received: Instant,
}

/// The handler of a stream at work: opens the call, then writes its replies.
type Handler = Execution<BoxedHandler<'static, Sent>, CallObserver>;

/// How far the replies of a stream came.
enum Sent {
    /// The handler's stream has ended.
    All,
    /// The stream between the peers ended first; no more can be sent.
    Interrupted,
}

impl StreamCall {
    /// Runs the handler, and sends and receives its frames, until both directions are over.
    pub(super) async fn run(self, reply: Subject) {
        let Self {
            permit,
            ctx,
            format,
            open,
            payload,
            received,
        } = self;
        let method = Arc::clone(permit.method());
        let observer = CallObserver::new(&method, received);
        let connection = &method.shared.connection;
        let peer = method.home.new_stream();
        let machine = Machine::server(
            peer.clone(),
            method.stream_options.limits_with(open.heartbeat),
            open.window,
            connection.max_payload(),
            ctx.deadline(),
            received,
        );
        let channel = Channel::new(machine);
        let sink = Arc::clone(&channel);
        let served = connection.mux().register_stream(&peer.stream, sink);
        let link = FrameTransport {
            connection: Arc::clone(connection),
            own_subject: method.home.up(&peer),
            destination: FrameDestination::Subject(reply),
        };
        let takes_stream = open.is_unary || method.takes_stream();
        let requests = match takes_stream {
            true => Requests::Received(MessageReader::server(Arc::clone(&channel))),
            false => Requests::Given(vec![payload]),
        };
        let opening = method.opening(&format, ctx.clone(), requests, observer.span());
        let replies = send_replies(Arc::clone(&channel), opening, ctx.clone());
        let mut running = RunningStream {
            method: &method,
            channel: &channel,
            handler: Execution::new(ctx, BoxedHandler::new(Box::pin(replies)), observer),
            is_done: false,
        };
        running.run(link, takes_stream).await;
        drop(served);
        let failure = channel.inspect(|machine| machine.end().and_then(|end| end.clone().err()));
        let observer = running.handler.observer();
        observer.record(failure.as_ref());
        observer.close();
    }
}

impl ServedMethod {
    /// Makes the call of a handler. Where the method may block, it opens on a thread for that.
    pub(super) fn opening(
        &self,
        format: &Format,
        ctx: Context,
        requests: Requests,
        span: &Span,
    ) -> OpeningFuture {
        let handler = format.streaming(&self.handler, self.method);
        let opening = handler.call(ctx, requests);
        match self.options.is_blocking {
            true => on_blocking_thread(opening, span.clone()),
            false => opening,
        }
    }

    pub(super) fn takes_stream(&self) -> bool {
        matches!(
            self.method.kind,
            MethodKind::ClientStreaming | MethodKind::Bidirectional
        )
    }
}

/// The handler of a stream and the driver of its frames.
struct RunningStream<'a> {
    method: &'a ServedMethod,
    channel: &'a Channel,
    handler: Handler,
    is_done: bool,
}

impl RunningStream<'_> {
    /// Polls the handler and the driver until the driver has sent the last frame.
    ///
    /// With `accepts_first` the driver is polled first: a caller that streams cannot send before it
    /// has received the first frame. Otherwise the handler is, so that its first replies leave in the
    /// first frame.
    async fn run(&mut self, link: FrameTransport, accepts_first: bool) {
        let shared = &self.method.shared;
        let mut stopped = pin!(shared.end.cancelled());
        let mut is_stopped = false;
        let mut drive = pin!(self.channel.drive(link));
        let mut drives_first = accepts_first;
        poll_fn(|cx| {
            if std::mem::take(&mut drives_first) && drive.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            self.poll_handler(cx);
            if !is_stopped && stopped.as_mut().poll(cx).is_ready() {
                is_stopped = true;
                let stopped = Completion::<()>::Stopped.into_result(self.method.method.full_name);
                if let Err(status) = stopped {
                    self.channel.reset(status);
                }
            }
            drive.as_mut().poll(cx)
        })
        .await;
        // The deadline and the end of the server reach the handler through its stream.
        self.handler.drop_handler();
    }

    fn poll_handler(&mut self, cx: &mut TaskContext<'_>) {
        if self.is_done {
            return;
        }
        let Poll::Ready(result) = self.handler.poll(None, cx) else {
            return;
        };
        self.is_done = true;
        // Whatever the handler holds is dropped before its caller learns that it has ended.
        self.handler.drop_handler();
        let failure = match result {
            Ok(Sent::Interrupted) => return,
            Ok(Sent::All) => None,
            Err(status) => Some(status),
        };
        self.handler.observer().record(failure.as_ref());
        let trailers = self.handler.ctx().map(Context::take_reply_metadata);
        self.channel.finish(failure, trailers.unwrap_or_default());
    }
}

/// Opens the call, and writes replies as long as there is room for them.
async fn send_replies(
    channel: Arc<Channel>,
    opening: OpeningFuture,
    ctx: Context,
) -> Result<Sent, Status> {
    let mut replies = opening.await?;
    channel.open(ctx.take_headers());
    loop {
        let Some(writer) = poll_fn(|cx| channel.poll_writer(cx)).await else {
            return Ok(Sent::Interrupted);
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
            return result.map(|()| Sent::All);
        }
    }
}

/// A frame that replies are written into. It is handed to the channel when dropped: replies that a
/// handler yielded before it panicked are sent before the failure.
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
