//! One request and its reply, as the caller sees it: send, wait, once more if nobody was there.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Duration, Instant};

use async_nats::{Message, StatusCode, Subject};
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use crate::bus::{Outgoing, PublishError};
use crate::client::Client;
use crate::context::Context;
use crate::metadata::Metadata;
use crate::mux::Waiting;
use crate::status::{Code, Reason, Status};
use crate::wire;

/// A wait that nobody will see the end of, for timeouts too large to add to a clock.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
/// How long a request rests that nobody served, in milliseconds, before it is sent once more: in a
/// cluster a new subscription takes this long to be known everywhere.
const REST_MS: std::ops::Range<u64> = 50..100;

/// A request with everything that was said about it.
pub(crate) struct Request<Req> {
    pub(crate) client: Client,
    pub(crate) method: usize,
    pub(crate) message: Req,
    pub(crate) timeout: Option<Duration>,
    pub(crate) parent: Option<Context>,
    /// Metadata, or why it cannot be sent.
    pub(crate) metadata: Result<Metadata, Status>,
}

pin_project! {
    /// Sends a request and waits for the reply: a message, which may still be a failure's, or the
    /// reason why there is none. Dropping it frees the reply slot.
    pub(crate) struct Exchange<Req> {
        request: Request<Req>,
        clock: Option<Clock>,
        state: State,
        has_rested: bool,
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

impl<Req: prost::Message> Request<Req> {
    /// Starts the clock: the shortest of what the call, its parent and the defaults allow.
    fn clock(&self, now: Instant) -> Clock {
        let method = self.client.method(self.method);
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

    fn outgoing(&self, reply: Subject, left: Option<Duration>) -> Result<Outgoing, Status> {
        let mut headers = None;
        match &self.metadata {
            Ok(metadata) => wire::encode_metadata(&mut headers, metadata),
            Err(status) => return Err(status.clone()),
        }
        if let Some(parent) = &self.parent {
            wire::forward_trace(&mut headers, parent.trace());
        }
        if let Some(left) = left {
            wire::encode_timeout(&mut headers, left);
        }
        Ok(Outgoing {
            subject: self.client.subject(self.method).clone(),
            reply: Some(reply),
            headers,
            payload: wire::encode(&self.message),
        })
    }

    fn method_name(&self) -> &'static str {
        self.client.method(self.method).full_name
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

    fn not_sent(&self, error: PublishError) -> Status {
        match error {
            PublishError::TooLarge { max } => Status::from_runtime(
                Code::ResourceExhausted,
                Reason::TooLarge,
                format!(
                    "the request to {} takes {} bytes, which does not fit into one NATS message of {max} bytes with its headers",
                    self.method_name(),
                    self.message.encoded_len(),
                ),
            ),
            PublishError::Failed(error) => Status::from_runtime(
                Code::Unavailable,
                Reason::Disconnected,
                format!("the request to {} could not be sent", self.method_name()),
            )
            .with_source(error),
        }
    }
}

impl<Req: prost::Message> Exchange<Req> {
    pub(crate) fn new(request: Request<Req>) -> Self {
        Self {
            request,
            clock: None,
            state: State::Ready,
            has_rested: false,
            timer: None,
        }
    }

    pub(crate) fn output_name(&self) -> &'static str {
        self.request.client.method(self.request.method).output
    }

    /// Sends the request. On the usual path the connection's queue takes it at once; only where
    /// it is full does a boxed future wait for room.
    fn send(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Result<State, Status> {
        let this = self.project();
        let now = Instant::now();
        let clock = *this.clock.get_or_insert_with(|| this.request.clock(now));
        let left = clock.deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Err(this.request.too_late());
        }
        let left = (*this.has_rested || !clock.is_default).then_some(left);
        let connection = this.request.client.connection();
        let (waiting, reply) = connection.mux().open();
        let outgoing = this.request.outgoing(reply.clone(), left)?;
        match pin!(connection.publish(outgoing)).poll(cx) {
            Poll::Ready(Ok(())) => return Ok(State::Waiting(waiting)),
            Poll::Ready(Err(error)) => return Err(this.request.not_sent(error)),
            Poll::Pending => {}
        }
        let outgoing = this.request.outgoing(reply, left)?;
        let connection = std::sync::Arc::clone(connection);
        let sending = Box::pin(async move { connection.publish(outgoing).await });
        Ok(State::Sending(sending, waiting))
    }

    /// Sleeps before the request is sent once more, unless the deadline would come first.
    fn rest(self: Pin<&mut Self>) -> Result<State, Status> {
        let mut this = self.project();
        let wake = Instant::now() + Duration::from_millis(fastrand::u64(REST_MS));
        let is_in_time = this.clock.is_some_and(|clock| wake < clock.deadline);
        if *this.has_rested || !is_in_time {
            return Err(this.request.no_responders());
        }
        *this.has_rested = true;
        this.timer.set(Some(tokio::time::sleep_until(wake.into())));
        Ok(State::Resting)
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
        {
            this.timer
                .set(Some(tokio::time::sleep_until(clock.deadline.into())));
        }
        if let Some(timer) = this.timer.as_pin_mut()
            && timer.poll(cx).is_ready()
        {
            return Poll::Ready(Err(this.request.too_late()));
        }
        *this.state = state;
        Poll::Pending
    }
}

impl<Req: prost::Message> Future for Exchange<Req> {
    type Output = Result<Message, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
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
                    Poll::Ready(Ok(reply)) if is_no_responders(&reply) => self.as_mut().rest()?,
                    Poll::Ready(reply) => return Poll::Ready(reply),
                    Poll::Pending => return self.wait_in(State::Waiting(waiting), cx),
                },
                State::Resting => match self.as_mut().poll_rest(cx) {
                    Poll::Ready(()) => State::Ready,
                    Poll::Pending => {
                        *self.project().state = State::Resting;
                        return Poll::Pending;
                    }
                },
                State::Done => return Poll::Pending,
            };
            *self.as_mut().project().state = next;
        }
    }
}

fn is_no_responders(reply: &Message) -> bool {
    reply.status == Some(StatusCode::NO_RESPONDERS)
}
