//! One streaming call at the server: the handler and the stream's frames, in one task.

use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use async_nats::Subject;
use bytes::Bytes;

use crate::context::Context;
use crate::descriptor::MethodKind;
use crate::dispatch::handler::OpeningFuture;
use crate::dispatch::permit::Permit;
use crate::dispatch::replies::WriteProgress;
use crate::dispatch::requests::Requests;
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::transcode::Format;
use crate::dispatch::unary::{on_a_blocking_thread, panicked};
use crate::observe;
use crate::observe::ServerCall;
use crate::status::{Code, Reason, Status};
use crate::stream::{
    Channel, FrameDestination, FrameTransport, Machine, MessageReader, StreamHeader,
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

type Pump = Pin<Box<dyn Future<Output = ()> + Send>>;

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
        let endpoint = Arc::clone(permit.endpoint());
        let mut seen = ServerCall::begin(endpoint.method, &endpoint.meters, received);
        observe::extract(seen.span(), ctx.trace());
        let connection = &endpoint.shared.connection;
        let peer = endpoint.home.new_stream();
        let machine = Machine::server(
            peer.clone(),
            endpoint.stream_options.limits_with(open.heartbeat),
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
            own_subject: endpoint.home.up(&peer),
            destination: FrameDestination::Subject(reply),
        };
        let takes_stream = open.is_unary || endpoint.takes_stream();
        let requests = match takes_stream {
            true => Requests::Received(MessageReader::server(Arc::clone(&channel))),
            false => Requests::Given(vec![payload]),
        };
        let opening = endpoint.opening(&format, ctx.clone(), requests);
        let tally = Arc::new(StreamOutcome::new(&endpoint, received));
        let told = Arc::clone(&tally);
        let pump = Box::pin(pump(Arc::clone(&channel), opening, ctx.clone(), told));
        let running = Running {
            endpoint: &endpoint,
            tally: &tally,
            channel: &channel,
            ctx: &ctx,
            span: seen.span().clone(),
            pump: Some(pump),
        };
        running.run(link, takes_stream).await;
        drop(served);
        let failure = channel.inspect(|machine| machine.end().and_then(|end| end.clone().err()));
        if let Some(status) = &failure {
            tracing::debug!(method = endpoint.method.full_name, %status, "a stream failed");
        }
        tally.count(failure.as_ref());
        seen.end(tally.failure());
        ctx.end();
    }
}

impl ServedMethod {
    /// Makes the call of a handler, which may block only where it says so.
    fn opening(&self, format: &Format, ctx: Context, requests: Requests) -> OpeningFuture {
        let opening = format.streaming(&self.handler, self.method);
        let opening = opening.call(ctx, requests);
        match self.options.is_blocking {
            true => on_a_blocking_thread(opening),
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

/// Counts a stream once: before its caller hears of its end, or when it ends otherwise.
struct StreamOutcome {
    endpoint: Arc<ServedMethod>,
    received: Instant,
    /// The code that it failed with, once it is counted.
    ended: OnceLock<Option<Code>>,
}

impl StreamOutcome {
    fn new(endpoint: &Arc<ServedMethod>, received: Instant) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            received,
            ended: OnceLock::new(),
        }
    }

    fn count(&self, failure: Option<&Status>) {
        if self.ended.set(failure.map(Status::code)).is_ok() {
            let took = self.received.elapsed();
            self.endpoint.stats.record(took, failure);
        }
    }

    fn failure(&self) -> Option<Code> {
        self.ended.get().copied().flatten()
    }
}

/// The handler of a stream and the driver of its frames.
struct Running<'a> {
    endpoint: &'a ServedMethod,
    tally: &'a StreamOutcome,
    channel: &'a Channel,
    ctx: &'a Context,
    span: tracing::Span,
    pump: Option<Pump>,
}

impl Running<'_> {
    /// `accepts_first`: the caller cannot send before it has heard from us, so that the handler
    /// comes second.
    async fn run(mut self, link: FrameTransport, accepts_first: bool) {
        let shared = &self.endpoint.shared;
        let mut stopped = pin!(shared.end.cancelled());
        let mut is_stopped = false;
        let mut drive = pin!(self.channel.drive(link));
        let mut drives_first = accepts_first;
        poll_fn(|cx| {
            if std::mem::take(&mut drives_first) && drive.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            self.poll_pump(cx);
            if !is_stopped && stopped.as_mut().poll(cx).is_ready() {
                is_stopped = true;
                self.channel.reset(Reason::ShuttingDown.status(format!(
                    "the server stopped while {} ran",
                    self.endpoint.method.full_name
                )));
            }
            drive.as_mut().poll(cx)
        })
        .await;
        self.drop_pump();
    }

    fn poll_pump(&mut self, cx: &mut TaskContext<'_>) {
        let Some(pump) = &mut self.pump else {
            return;
        };
        let span = &self.span;
        let poll = || span.in_scope(|| pump.as_mut().poll(cx));
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => self.pump = None,
            Err(panic) => {
                let status = panicked(self.endpoint, panic.as_ref());
                self.tally.count(Some(&status));
                let trailers = self.ctx.take_answer_metadata();
                self.channel.finish(Some(status), trailers);
                self.drop_pump();
            }
        }
    }

    /// Drops the handler, even if its destructors panic.
    fn drop_pump(&mut self) {
        let pump = self.pump.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(pump))) {
            panicked(self.endpoint, panic.as_ref());
        }
    }
}

/// Opens the call, and writes replies as long as there is room for them.
async fn pump(
    channel: Arc<Channel>,
    opening: OpeningFuture,
    ctx: Context,
    tally: Arc<StreamOutcome>,
) {
    let mut replies = match opening.await {
        Ok(replies) => replies,
        Err(status) => {
            tally.count(Some(&status));
            return channel.finish(Some(status), ctx.take_answer_metadata());
        }
    };
    channel.open(ctx.take_headers());
    loop {
        let Some(mut writer) = poll_fn(|cx| channel.poll_writer(cx)).await else {
            return;
        };
        let written = poll_fn(|cx| {
            let write = || replies.as_mut().poll_write(cx, &mut writer);
            match catch_unwind(AssertUnwindSafe(write)) {
                Ok(written) => written.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        })
        .await;
        // What was yielded before a panic is sent before it is told.
        channel.submit(writer);
        if let WriteProgress::End(result) = written.unwrap_or_else(|panic| resume_unwind(panic)) {
            // Whatever the stream holds ends before its caller hears that it did.
            drop(replies);
            tally.count(result.as_ref().err());
            return channel.finish(result.err(), ctx.take_answer_metadata());
        }
    }
}
