//! One request and its reply, as the caller sees it: send, wait, and again where that is safe.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Duration, Instant};

use async_nats::{Message, StatusCode, Subject};
use bytes::Bytes;
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tracing::Span;

use crate::bus::{Outgoing, PublishError};
use crate::client::Client;
use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::metadata::Metadata;
use crate::mux::Waiting;
use crate::observe;
use crate::retry;
use crate::status::{Code, Reason, Status};
use crate::wire;

/// A wait that nobody will see the end of, for timeouts too large to add to a clock.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// What is sent: a message, or bytes that middleware has seen.
pub(crate) trait Body {
    fn encode(&self) -> Bytes;
    fn encoded_len(&self) -> usize;
}

/// A message that is encoded when it is sent.
pub(crate) struct Typed<M>(pub(crate) M);

/// A request with everything that was said about it.
pub(crate) struct Request<B> {
    pub(crate) client: Client,
    pub(crate) method: usize,
    pub(crate) body: B,
    pub(crate) timeout: Option<Duration>,
    pub(crate) parent: Option<Context>,
    pub(crate) may_retry: bool,
    /// Metadata, or why it cannot be sent.
    pub(crate) metadata: Result<Metadata, Status>,
}

pin_project! {
    /// Sends a request and waits for its reply, or for the reason why there is none. Dropping it
    /// frees the reply slot.
    pub(crate) struct Exchange<B> {
        request: Request<B>,
        clock: Option<Clock>,
        state: State,
        attempts: retry::Attempts,
        parent_end: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
        call: observe::ClientCall,
        #[pin]
        timer: Option<Sleep>,
    }
}

#[derive(Clone, Copy)]
struct Clock {
    deadline: Instant,
    /// Whether the wire's constant already says how long we wait.
    is_default: bool,
}

enum State {
    Ready,
    Sending(Sending, Waiting),
    Waiting(Waiting),
    Resting,
    Done,
}

type Sending = Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>;

impl<M: prost::Message> Body for Typed<M> {
    fn encode(&self) -> Bytes {
        wire::encode(&self.0)
    }

    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
}

impl Body for Bytes {
    fn encode(&self) -> Bytes {
        self.clone()
    }

    fn encoded_len(&self) -> usize {
        self.len()
    }
}

impl<B> Request<B> {
    pub(crate) fn descriptor(&self) -> &'static MethodDescriptor {
        self.client.method(self.method)
    }

    /// When this call must have ended: the shortest of what it, its parent and the defaults allow.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        self.clock(now).deadline
    }

    fn clock(&self, now: Instant) -> Clock {
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

    fn method_name(&self) -> &'static str {
        self.descriptor().full_name
    }

    fn too_late(&self) -> Status {
        Status::from_runtime(
            Code::DeadlineExceeded,
            Reason::Deadline,
            format!("{} did not answer before the deadline", self.method_name()),
        )
    }

    fn no_responders(&self) -> Status {
        Status::from_runtime(
            Code::Unavailable,
            Reason::NoResponders,
            format!("no instance serves {}", self.method_name()),
        )
    }

    fn parent_ended(&self) -> Status {
        let text = format!(
            "the call that {} was a part of has ended",
            self.method_name()
        );
        Status::from_runtime(Code::Canceled, Reason::ParentEnded, text)
    }
}

impl<B: Body> Request<B> {
    fn outgoing(
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
        Ok(Outgoing {
            subject: self.client.subject(self.method).clone(),
            reply: Some(reply),
            headers,
            payload: self.body.encode(),
        })
    }

    fn not_sent(&self, error: PublishError) -> Status {
        let name = self.method_name();
        match error {
            PublishError::TooLarge { max } => Status::from_runtime(
                Code::ResourceExhausted,
                Reason::TooLarge,
                format!(
                    "the request to {name} takes {} bytes, which does not fit into one NATS message of {max} bytes with its headers",
                    self.body.encoded_len(),
                ),
            ),
            PublishError::Failed(error) => Status::from_runtime(
                Code::Unavailable,
                Reason::Disconnected,
                format!("the request to {name} could not be sent"),
            )
            .with_source(error),
        }
    }
}

impl<B: Body> Exchange<B> {
    pub(crate) fn new(request: Request<B>) -> Self {
        Self {
            request,
            clock: None,
            state: State::Ready,
            attempts: retry::Attempts::default(),
            parent_end: None,
            call: observe::ClientCall::default(),
            timer: None,
        }
    }

    pub(crate) fn descriptor(&self) -> &'static MethodDescriptor {
        self.request.descriptor()
    }

    /// Sends the request. On the usual path the connection's queue takes it at once; only where
    /// it is full does a boxed future wait for room.
    fn send(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Result<State, Status> {
        let this = self.project();
        let now = Instant::now();
        let is_first = this.clock.is_none();
        let clock = *this.clock.get_or_insert_with(|| this.request.clock(now));
        if is_first {
            let method = this.request.descriptor();
            let client = &this.request.client;
            this.call.begin(method, client.meters(this.request.method));
            client.count(method);
            *this.parent_end = this
                .request
                .parent
                .as_ref()
                .map(|parent| Box::pin(parent.ended().clone().cancelled_owned()));
        }
        let left = clock.deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Err(this.request.too_late());
        }
        let left = (!is_first || !clock.is_default).then_some(left);
        this.call.attempt(this.attempts.next());
        let span = this.call.span();
        let connection = this.request.client.connection();
        let (waiting, reply) = this.request.client.open();
        let outgoing = this.request.outgoing(reply.clone(), left, &span)?;
        match pin!(connection.publish(outgoing)).poll(cx) {
            Poll::Ready(Ok(())) => return Ok(State::Waiting(waiting)),
            Poll::Ready(Err(error)) => return Err(this.request.not_sent(error)),
            Poll::Pending => {}
        }
        let outgoing = this.request.outgoing(reply, left, &span)?;
        let connection = Arc::clone(connection);
        let sending = Box::pin(async move { connection.publish(outgoing).await });
        Ok(State::Sending(sending, waiting))
    }

    /// Rests before the request is sent once more, where that is safe and there is time.
    fn again(self: Pin<&mut Self>, status: Status) -> Result<State, Status> {
        let mut this = self.project();
        let request = &*this.request;
        let rest = match request.may_retry {
            true => this
                .attempts
                .rest(&status, request.descriptor(), request.client.budget()),
            false => None,
        };
        let wake = rest.map(|rest| Instant::now() + rest);
        match (wake, this.clock) {
            (Some(wake), Some(clock)) if wake < clock.deadline => {
                tracing::debug!(method = request.method_name(), %status, "tries again");
                this.timer.set(Some(tokio::time::sleep_until(wake.into())));
                Ok(State::Resting)
            }
            _ => Err(status),
        }
    }

    fn poll_rest(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let mut timer = self.project().timer;
        if let Some(rest) = timer.as_mut().as_pin_mut() {
            ready!(rest.poll(cx));
        }
        timer.set(None);
        Poll::Ready(())
    }

    /// Keeps the state for the next poll, which comes at the deadline at the latest.
    fn wait_in(
        self: Pin<&mut Self>,
        state: State,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<Message, Status>> {
        let mut this = self.project();
        if let Some(clock) = this.clock
            && this.timer.is_none()
            && !matches!(state, State::Resting)
        {
            let deadline = tokio::time::sleep_until(clock.deadline.into());
            this.timer.set(Some(deadline));
        }
        if let Some(timer) = this.timer.as_pin_mut()
            && timer.poll(cx).is_ready()
        {
            return Poll::Ready(Err(this.request.too_late()));
        }
        if let Some(end) = this.parent_end
            && end.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(this.request.parent_ended()));
        }
        *this.state = state;
        Poll::Pending
    }

    fn poll_steps(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<Message, Status>> {
        loop {
            let state = std::mem::replace(self.as_mut().project().state, State::Done);
            let next = match state {
                State::Ready => self.as_mut().send(cx)?,
                State::Sending(mut sending, waiting) => match sending.as_mut().poll(cx) {
                    Poll::Ready(Ok(())) => State::Waiting(waiting),
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(self.request.not_sent(error)));
                    }
                    Poll::Pending => return self.wait_in(State::Sending(sending, waiting), cx),
                },
                State::Waiting(mut waiting) => match waiting.poll(cx) {
                    Poll::Ready(reply) => match self.request.read(reply) {
                        Ok(reply) => return Poll::Ready(Ok(reply)),
                        Err(status) => self.as_mut().again(status)?,
                    },
                    Poll::Pending => return self.wait_in(State::Waiting(waiting), cx),
                },
                State::Resting => match self.as_mut().poll_rest(cx) {
                    Poll::Ready(()) => State::Ready,
                    Poll::Pending => return self.wait_in(State::Resting, cx),
                },
                State::Done => return Poll::Pending,
            };
            *self.as_mut().project().state = next;
        }
    }
}

impl<B> Request<B> {
    /// Tells a success from what NATS says and from a failure.
    fn read(&self, reply: Result<Message, Status>) -> Result<Message, Status> {
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

impl<B: Body> Future for Exchange<B> {
    type Output = Result<Message, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let span = self.call.span();
        let result = ready!(span.in_scope(|| self.as_mut().poll_steps(cx)));
        self.project()
            .call
            .end(result.as_ref().err().map(Status::code));
        Poll::Ready(result)
    }
}
