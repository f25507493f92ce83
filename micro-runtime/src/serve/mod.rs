//! Dispatch: takes requests off subscriptions, runs handlers, and answers every request once.

mod all;
mod call;
mod desk;
mod events;
mod gate;
mod instance;
mod layered;
mod plain;
mod reply;
mod stream;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::{Connection, Subscription};
use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::endpoint::Handling;
use crate::metadata::Metadata;
use crate::mux::MICRO_STREAM;
use crate::observe;
use crate::observe::Meters;
use crate::options::{MethodOptions, Timeouts};
use crate::pace::Pace;
use crate::serve::call::Call;
use crate::serve::plain::PlainCall;
use crate::serve::stream::StreamCall;
use crate::stats::MethodStats;
use crate::status::{Code, Reason, Status};
use crate::stream::{Open, StreamOptions};
use crate::subscriber::EventTarget;
use crate::transcode::Format;
use crate::wire;
use crate::wire::ContentType;

/// What all endpoints of one running server share.
pub(crate) struct Shared {
    pub(crate) connection: Arc<Connection>,
    /// The calls that outlive the loop that took them.
    pub(crate) tasks: TaskTracker,
    /// Ends the calls that are left when the grace period is over.
    pub(crate) end: CancellationToken,
    pub(crate) in_flight: Gate,
    /// The streams among them.
    pub(crate) streams: Gate,
    pub(crate) reply_prefixes: Vec<String>,
    pub(crate) timeouts: Timeouts,
}

/// One method that is served.
pub(crate) struct Endpoint {
    pub(crate) shared: Arc<Shared>,
    pub(crate) home: Arc<Home>,
    pub(crate) method: &'static MethodDescriptor,
    pub(crate) options: MethodOptions,
    pub(crate) stream_options: StreamOptions,
    pub(crate) handler: Handling,
    pub(crate) service_in_flight: Arc<Gate>,
    pub(crate) in_flight: Gate,
    pub(crate) pace: Pace,
    pub(crate) meters: Arc<Meters>,
    pub(crate) stats: MethodStats,
}

/// What a subscription's requests are for.
pub(crate) enum Target {
    Endpoint(Arc<Endpoint>),
    Instance(Instance),
    All(All),
    Desk(Arc<Desk>, Ask),
    Events(EventTarget),
}

pub(crate) use all::All;
pub(crate) use desk::{Ask, Desk, DeskSettings};
pub(crate) use gate::Gate;
pub(crate) use instance::{Home, Instance};
pub(crate) use layered::layered;

/// How far a server has come with stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// The subscriptions end at the server; what is under way still arrives.
    Stopping,
    /// Everything has arrived; the loops of methods end once they have read it.
    Closing,
    /// The last call has ended, and with it the last stream: the loops of instances end.
    Ended,
}

/// Says once that a loop has stopped, at its end at the latest: who waits for all loops must not
/// wait for one that ended with its connection.
struct Stopped(Option<mpsc::UnboundedSender<()>>);

/// Reads one subscription until it is closed; says on `stopped` that it has stopped, once.
pub(crate) async fn run(
    mut subscription: Subscription,
    target: Target,
    mut phase: watch::Receiver<Phase>,
    stopped: mpsc::UnboundedSender<()>,
) {
    let mut stopped = Stopped(Some(stopped));
    let target = match target {
        Target::Events(target) => return events::run(subscription, target, phase, stopped).await,
        target => target,
    };
    let mut current = Phase::Serving;
    loop {
        // Looked at before every message: a loop that is never idle does not come to `changed`.
        let next = *phase.borrow();
        if next != current {
            current = next;
            match (next, &target) {
                (Phase::Stopping, Target::Instance(instance)) => {
                    instance.is_stopping.store(true, Ordering::Relaxed);
                    stopped.say();
                }
                (Phase::Stopping, _) => {
                    subscription.stop().await;
                    stopped.say();
                }
                (Phase::Closing, Target::Instance(_)) => {}
                (Phase::Closing, _) | (Phase::Ended, Target::Instance(_)) => {
                    subscription.close().await;
                }
                (_, _) => {}
            }
        }
        tokio::select! {
            biased;
            message = subscription.next() => match message {
                Some(message) => target.dispatch(message).await,
                None => return,
            },
            changed = phase.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

impl Stopped {
    fn say(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(());
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.say();
    }
}

impl Target {
    async fn dispatch(&self, message: Message) {
        match self {
            Self::Endpoint(endpoint) => endpoint.dispatch(message).await,
            Self::Instance(instance) => instance.dispatch(message).await,
            Self::All(all) => all.dispatch(message).await,
            Self::Desk(desk, ask) => desk.dispatch(*ask, message).await,
            // They have a loop of their own.
            Self::Events(_) => {}
        }
    }
}

/// A call that may begin.
enum Admitted {
    Call(Call),
    Stream(StreamCall),
    /// A streaming call by hand, without frames.
    Plain(PlainCall),
}

/// What the headers of a request say.
struct Request {
    timeout: Option<Duration>,
    metadata: Metadata,
    trace: Option<HeaderMap>,
    open: Option<Open>,
}

impl Request {
    fn read(headers: Option<&HeaderMap>) -> Result<Self, Status> {
        let Some(headers) = headers else {
            return Ok(Self {
                timeout: None,
                metadata: Metadata::new(),
                trace: None,
                open: None,
            });
        };
        let open = headers.get(MICRO_STREAM);
        Ok(Self {
            timeout: wire::decode_timeout(headers)?,
            metadata: wire::decode_metadata(headers)?,
            trace: wire::trace_headers(headers),
            open: open.map(|open| Open::decode(open.as_str())).transpose()?,
        })
    }
}

impl Endpoint {
    async fn dispatch(self: &Arc<Self>, message: Message) {
        self.dispatch_as(message, None).await;
    }

    /// With a name the answer is signed with it.
    async fn dispatch_as(self: &Arc<Self>, message: Message, signer: Option<&Arc<str>>) {
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
                let admitted = Request::read(headers)
                    .and_then(|request| self.admit(request, &format, message.payload, received));
                (format, admitted)
            }
            Err(status) => (Format::Protobuf, Err(status)),
        };
        match (admitted, reply) {
            (Ok(Admitted::Call(call)), reply) => call.signed(signer).start(reply).await,
            (Ok(Admitted::Stream(call)), Some(reply)) => {
                self.shared.tasks.spawn(call.run(reply));
            }
            (Ok(Admitted::Plain(call)), Some(reply)) => {
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
        tracing::trace!(
            method = self.method.full_name,
            micros = micros(),
            "answered"
        );
    }

    /// Takes a permit and makes the call; nothing of the handler runs yet.
    fn admit(
        self: &Arc<Self>,
        request: Request,
        format: &Format,
        payload: Bytes,
        received: Instant,
    ) -> Result<Admitted, Status> {
        let is_unary = matches!(self.handler, Handling::Unary(_));
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
        let permit = self.permit(request.open.is_some())?;
        let deadline = timeout.and_then(|timeout| received.checked_add(timeout.min(timeouts.max)));
        let ctx = Context::new(self.method, request.metadata, deadline, request.trace);
        Ok(match (&self.handler, request.open) {
            (Handling::Unary(handler), None) => {
                let handler = format.around_unary(handler, self.method);
                let future = handler.call(ctx.clone(), payload);
                Admitted::Call(Call::new(permit, ctx, format.clone(), future, received))
            }
            (_, Some(open)) => Admitted::Stream(StreamCall {
                permit,
                ctx,
                format: format.clone(),
                open,
                payload,
                received,
            }),
            (Handling::Streaming(_), None) => Admitted::Plain(PlainCall {
                permit,
                ctx,
                format: format.clone(),
                payload,
                received,
            }),
        })
    }
}

impl Shared {
    /// Where the answer goes; `None`, with a word in the log, if no answer may be sent there.
    ///
    /// Publishing wherever a caller says would lend him the rights of this service.
    fn reply_subject(&self, message: &Message, name: &'static str) -> Option<Subject> {
        let reply = message.reply.as_ref()?;
        let is_allowed = self
            .reply_prefixes
            .iter()
            .any(|prefix| reply.starts_with(prefix.as_str()));
        if !is_allowed {
            observe::dropped(name);
            tracing::warn!(
                method = name,
                %reply,
                "dropped a request: its reply subject is outside the allowed prefixes"
            );
            return None;
        }
        Some(reply.clone())
    }
}

fn too_short(name: &str, timeout: Duration) -> Status {
    Status::from_runtime(
        Code::DeadlineExceeded,
        Reason::Deadline,
        format!("{timeout:?} is less than this server takes calls of {name} for"),
    )
}
