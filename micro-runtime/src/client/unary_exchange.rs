//! `UnaryExchange`: one request and its reply on the wire, as a hand-written future.

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
use tracing::Span;

use crate::bus::{PublishError, ReplySlot};
use crate::client::large_message::{call_in_parts, receive_in_parts};
use crate::client::request::{OutgoingRequest, RequestBody, TimeLimit};
use crate::client::retry_loop::{Attempt, RetryLoop};
use crate::status::Status;
use crate::wire::header::continues_as_stream;

pin_project! {
    /// Attempt at a unary call: publishes the request and waits for the reply in a reply slot, for the
    /// deadline and for the end of the parent.
    ///
    /// A call is one `UnaryExchange` in a [`RetryLoop`]. It is a state machine and no `async fn`, so that
    /// the plain path has no box at all: the request is published in the first poll, the only timer is
    /// created when that poll found no reply, and futures that the type cannot name are boxed only in
    /// the states that need them (a full connection queue, a message that does not fit).
    ///
    /// Cancel safe: dropping it frees the reply slot, so that a late reply finds no entry.
    pub(crate) struct UnaryExchange<B> {
        request: OutgoingRequest<B>,
        // Set by the first poll: a call's time begins when it is awaited, not when it is built.
        time_limit: Option<TimeLimit>,
        state: State,
        parent_end: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
        #[pin]
        deadline_timer: Option<Sleep>,
    }
}

enum State {
    /// Nothing is sent; the next poll begins an attempt.
    Ready,
    /// The connection's queue is full.
    Sending(Publishing, ReplySlot),
    /// The request is sent.
    Waiting(ReplySlot),
    /// The request or the reply does not fit into one NATS message and is carried by a stream.
    InParts(InParts),
    Done,
}

type InParts = Pin<Box<dyn Future<Output = Result<Message, Status>> + Send>>;

type Publishing = Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>;

impl<B: RequestBody> UnaryExchange<B> {
    pub(crate) fn new(request: OutgoingRequest<B>) -> Self {
        Self {
            request,
            time_limit: None,
            state: State::Ready,
            parent_end: None,
            deadline_timer: None,
        }
    }

    /// Returns the time limit of the call. The first call of this function starts the clock, and the
    /// wait for the end of the parent.
    fn start_time_limit(self: Pin<&mut Self>, now: Instant) -> TimeLimit {
        let this = self.project();
        *this.time_limit.get_or_insert_with(|| {
            let parent = this.request.options.message.parent.as_ref();
            *this.parent_end =
                parent.map(|parent| Box::pin(parent.end_token().clone().cancelled_owned()));
            this.request.time_limit(now)
        })
    }

    /// Sends the request. While many calls wait for replies it goes through the outbox, which shares one
    /// system call among them; otherwise straight to the connection's queue, which takes it at once
    /// unless it is full. Only then is the publish boxed and awaited.
    #[inline]
    fn send(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        number: u32,
        span: &Span,
    ) -> Result<State, Status> {
        let now = Instant::now();
        let TimeLimit {
            deadline,
            is_protocol_default,
        } = self.as_mut().start_time_limit(now);
        let request = &*self.project().request;
        let left = deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Err(request.deadline_exceeded());
        }
        if request.options.message.has_ended_parent() {
            return Err(request.parent_ended());
        }
        // A later attempt has less than the default left, and must send it.
        let left = (number > 1 || !is_protocol_default).then_some(left);
        let connection = request.client.connection();
        let (slot, reply) = request.client.reserve_reply_slot();
        let outgoing = request.outgoing(reply.clone(), left, span)?;
        let outgoing = match slot.should_batch() {
            true => connection.publish_batched(outgoing),
            false => Some(outgoing),
        };
        let Some(outgoing) = outgoing else {
            return Ok(State::Waiting(slot));
        };
        match pin!(connection.publish(outgoing)).poll(cx) {
            Poll::Ready(Ok(())) => return Ok(State::Waiting(slot)),
            Poll::Ready(Err(PublishError::TooLarge { .. })) => {
                let encoded = request.with_body(request.body.encode());
                let calling = call_in_parts(encoded, deadline, span.clone());
                return Ok(State::InParts(Box::pin(calling)));
            }
            Poll::Ready(Err(error)) => return Err(request.not_sent(error)),
            Poll::Pending => {}
        }
        // The publish was polled on the stack and is dropped now; it has sent nothing.
        let outgoing = request.outgoing(reply, left, span)?;
        let connection = Arc::clone(connection);
        let publishing = Box::pin(async move { connection.publish(outgoing).await });
        Ok(State::Sending(publishing, slot))
    }

    /// Continues with a reply that the server offers to send on a stream.
    fn receive_in_parts(&self, offer: Message, slot: ReplySlot) -> State {
        let request = self.request.with_body(Bytes::new());
        let deadline = self.deadline().unwrap_or_else(Instant::now);
        let receiving = async move { receive_in_parts(&request, &offer, slot, deadline).await };
        State::InParts(Box::pin(receiving))
    }

    /// Keeps the state for the next poll, after registering for everything that ends the wait early.
    fn wait_in(
        self: Pin<&mut Self>,
        state: State,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<Message, Status>> {
        let mut this = self.project();
        if let Some(limit) = this.time_limit
            && this.deadline_timer.is_none()
        {
            let timer = tokio::time::sleep_until(limit.deadline.into());
            this.deadline_timer.set(Some(timer));
        }
        if let Some(timer) = this.deadline_timer.as_pin_mut()
            && timer.poll(cx).is_ready()
        {
            return Poll::Ready(Err(this.request.deadline_exceeded()));
        }
        if let Some(end) = this.parent_end
            && end.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(this.request.parent_ended()));
        }
        *this.state = state;
        Poll::Pending
    }
}

impl<B: RequestBody> Attempt for UnaryExchange<B> {
    type Body = B;
    type Output = Message;

    fn request(&self) -> &OutgoingRequest<B> {
        &self.request
    }

    fn deadline(&self) -> Option<Instant> {
        self.time_limit.map(|limit| limit.deadline)
    }

    /// Only a reply that is a failure puts back `Ready`.
    fn can_repeat(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    #[inline]
    fn poll_attempt(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        number: u32,
        span: &Span,
    ) -> Poll<Result<Message, Status>> {
        loop {
            // An early return leaves `Done`, unless a state is put back.
            let state = std::mem::replace(self.as_mut().project().state, State::Done);
            let next = match state {
                State::Ready => self.as_mut().send(cx, number, span)?,
                State::Sending(mut publishing, slot) => match publishing.as_mut().poll(cx) {
                    Poll::Ready(Ok(())) => State::Waiting(slot),
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(self.request.not_sent(error)));
                    }
                    Poll::Pending => return self.wait_in(State::Sending(publishing, slot), cx),
                },
                State::InParts(mut in_parts) => match in_parts.as_mut().poll(cx) {
                    Poll::Ready(reply) => return Poll::Ready(reply),
                    Poll::Pending => return self.wait_in(State::InParts(in_parts), cx),
                },
                State::Waiting(mut slot) => match slot.poll(cx) {
                    Poll::Ready(Ok(reply)) if continues_as_stream(reply.headers.as_ref()) => {
                        self.receive_in_parts(reply, slot)
                    }
                    Poll::Ready(reply) => {
                        let reply = self.request.read(reply);
                        if reply.is_err() {
                            *self.project().state = State::Ready;
                        }
                        return Poll::Ready(reply);
                    }
                    Poll::Pending => return self.wait_in(State::Waiting(slot), cx),
                },
                State::Done => return Poll::Pending,
            };
            *self.as_mut().project().state = next;
        }
    }
}

impl<B: RequestBody> Future for RetryLoop<UnaryExchange<B>> {
    type Output = Result<Message, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let result = ready!(self.as_mut().poll_attempts(cx));
        let failure = result.as_ref().err().map(Status::code);
        self.call().end(failure);
        Poll::Ready(result)
    }
}
