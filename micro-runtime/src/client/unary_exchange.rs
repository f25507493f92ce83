//! One request and its reply, as the caller sees it: send, wait, and again where that is safe.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Instant;

use async_nats::Message;
use bytes::Bytes;
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::bus::{PublishError, ReplySlot};
use crate::client::open_stream::{OpenStream, WaitsFor, call_in_parts, receive_in_parts};
use crate::client::request::{Clock, OutgoingRequest, RequestBody};
use crate::client::retry;
use crate::descriptor::MethodDescriptor;
use crate::observe;
use crate::status::Status;
use crate::stream::StreamOptions;
use crate::wire::header::MICRO_STREAM;

pin_project! {
    /// Sends a request and waits for its reply, or for the reason why there is none. Dropping it
    /// frees the reply slot.
    pub(crate) struct UnaryExchange<B> {
        request: OutgoingRequest<B>,
        clock: Option<Clock>,
        state: State,
        attempts: retry::Attempts,
        parent_end: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
        call: observe::ClientCall,
        #[pin]
        timer: Option<Sleep>,
    }
}

enum State {
    Ready,
    Sending(Sending, ReplySlot),
    ReplySlot(ReplySlot),
    Resting,
    /// The request or the reply does not fit into one NATS message.
    InParts(InParts),
    Done,
}

type InParts = Pin<Box<dyn Future<Output = Result<Message, Status>> + Send>>;

type Sending = Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>;

impl<B: RequestBody> UnaryExchange<B> {
    pub(crate) fn new(request: OutgoingRequest<B>) -> Self {
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

    /// Sends the request: amid many others through the outbox, and else to the connection's queue,
    /// which takes it at once; only where that is full does a boxed future wait for room.
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
                .map(|parent| Box::pin(parent.end_token().clone().cancelled_owned()));
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
        let outgoing = match waiting.should_batch() {
            true => connection.publish_batched(outgoing),
            false => Some(outgoing),
        };
        let Some(outgoing) = outgoing else {
            return Ok(State::ReplySlot(waiting));
        };
        match pin!(connection.publish(outgoing)).poll(cx) {
            Poll::Ready(Ok(())) => return Ok(State::ReplySlot(waiting)),
            Poll::Ready(Err(PublishError::TooLarge { .. })) => {
                let opening = OpenStream {
                    request: this.request.with_body(this.request.body.encode()),
                    options: StreamOptions::new(),
                    deadline: Some(clock.deadline),
                    waits_for: WaitsFor::Accept,
                };
                return Ok(State::InParts(Box::pin(call_in_parts(opening))));
            }
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

    /// Takes a reply that the server offers on a stream.
    fn receive_in_parts(self: Pin<&mut Self>, offer: Message, waiting: ReplySlot) -> State {
        let request = self.request.with_body(Bytes::new());
        let deadline = self.clock.map_or_else(Instant::now, |clock| clock.deadline);
        let receiving = async move { receive_in_parts(&request, &offer, waiting, deadline).await };
        State::InParts(Box::pin(receiving))
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
                    Poll::Ready(Ok(())) => State::ReplySlot(waiting),
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(self.request.not_sent(error)));
                    }
                    Poll::Pending => return self.wait_in(State::Sending(sending, waiting), cx),
                },
                State::InParts(mut receiving) => match receiving.as_mut().poll(cx) {
                    Poll::Ready(reply) => return Poll::Ready(reply),
                    Poll::Pending => return self.wait_in(State::InParts(receiving), cx),
                },
                State::ReplySlot(mut waiting) => match waiting.poll(cx) {
                    Poll::Ready(Ok(reply)) if goes_on(&reply) => {
                        self.as_mut().receive_in_parts(reply, waiting)
                    }
                    Poll::Ready(reply) => match self.request.read(reply) {
                        Ok(reply) => return Poll::Ready(Ok(reply)),
                        Err(status) => self.as_mut().again(status)?,
                    },
                    Poll::Pending => return self.wait_in(State::ReplySlot(waiting), cx),
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

impl<B: RequestBody> Future for UnaryExchange<B> {
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

fn goes_on(reply: &Message) -> bool {
    let headers = reply.headers.as_ref();
    headers.is_some_and(|headers| headers.get(MICRO_STREAM).is_some())
}
