//! `UnaryExchange`: one request and its reply on the wire, as a hand-written future.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tracing::Span;

use crate::bus::{NoRuntime, PublishError, ReceivedReply, ReplySlot};
use crate::client::instance_watch::{InstanceWatch, watch_instance};
use crate::client::large_message::{call_in_parts, receive_in_parts};
use crate::client::request::{OutgoingRequest, RequestBody};
use crate::client::retry_loop::{Attempt, RetryLoop};
use crate::context::{TimeLimit, TimeoutSource};
use crate::status::{Reason, Status};
use crate::wire;
use crate::wire::CancelToken;
use crate::wire::header::continues_as_stream;

/// Maximum time from the beginning of a call with the protocol's timeout to its request, for that to be sent without
/// the header: a server ends its handler this much later than the caller gives up. Layers take less.
const DERIVED_TIMEOUT_LAG: Duration = Duration::from_millis(10);

pin_project! {
    /// Attempt at a unary call: publishes the request and waits for the reply in a reply slot, for the
    /// deadline and for the end of the parent.
    ///
    /// A call is one `UnaryExchange` in a [`RetryLoop`]. It is a state machine and no `async fn`, so that
    /// the plain path has no box at all: the request is published in the first poll, the only timer is
    /// created when that poll found no reply, and futures that the type cannot name are boxed only in
    /// the states that need them (a full connection queue, a message that does not fit).
    ///
    /// Cancel safe: dropping it frees the reply slot, so that a late reply finds no entry, and cancels the call.
    pub(crate) struct UnaryExchange<B> {
        request: OutgoingRequest<B>,
        // Set by the first poll: a call's time begins when it is awaited, not when it is built.
        time_limit: Option<TimeLimit>,
        state: State,
        parent_end: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
        // Id of `Micro-Cancel` of the last attempt, where the client sends one.
        cancel_id: Option<CancelToken>,
        // Set with the timer, for a call of one instance.
        instance_watch: Option<InstanceWatch>,
        #[pin]
        deadline_timer: Option<Sleep>,
    }

    impl<B> PinnedDrop for UnaryExchange<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let State::Waiting(slot) = this.state {
                this.request.cancel(slot, *this.cancel_id);
            }
        }
    }
}

enum State {
    /// Nothing is sent; the next poll begins an attempt.
    Ready,
    /// There is no connection, and the call waits for it.
    Disconnected(Publishing),
    /// The connection's queue is full.
    Sending(Publishing, ReplySlot),
    /// The request is sent.
    Waiting(ReplySlot),
    /// The request or the reply does not fit into one NATS message and is carried by a stream.
    InParts(InParts),
    Done,
}

type InParts = Pin<Box<dyn Future<Output = Result<ReceivedReply, Status>> + Send>>;

type Publishing = Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>;

impl<B: RequestBody> UnaryExchange<B> {
    pub(crate) fn new(request: OutgoingRequest<B>) -> Self {
        Self {
            request,
            time_limit: None,
            state: State::Ready,
            parent_end: None,
            cancel_id: None,
            instance_watch: None,
            deadline_timer: None,
        }
    }

    /// Returns the time limit of the call; `None` before the first attempt.
    pub(crate) fn time_limit(&self) -> Option<TimeLimit> {
        self.time_limit
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
        span: &Span,
    ) -> Result<State, Status> {
        let now = Instant::now();
        let limit = self.as_mut().start_time_limit(now);
        let this = self.project();
        let request = &*this.request;
        if request.client.cancels_by_header() {
            *this.cancel_id = Some(CancelToken::random());
        }
        let cancel_id = *this.cancel_id;
        let left = limit.deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Err(request.deadline_exceeded(&limit));
        }
        if request.options.message.has_ended_parent() {
            return Err(request.parent_ended());
        }
        if let Err(none) = NoRuntime::check() {
            return Err(none.into_status(format_args!("{} is not called", request.method_name())));
        }
        // Without any header a request needs no `HeaderMap`, which saves its allocations on both sides: the server
        // derives the protocol's timeout (docs/PROTOCOL.md, TIME-2). A timeout that was set is sent, also one
        // of 5 s, so that the handler can see that its caller chose it. So is what is left for a later attempt, or
        // behind a slow layer.
        let is_derived = limit.source == TimeoutSource::Protocol
            && left + DERIVED_TIMEOUT_LAG >= wire::DEFAULT_TIMEOUT
            && !request.expires();
        let left = (!is_derived).then_some(left);
        let connection = request.client.connection();
        // Before the slot is reserved: a request with an invalid header is none.
        let mut outgoing = request.outgoing(None, left, span)?;
        wire::encode_cancel(&mut outgoing.headers, cancel_id);
        let in_parts = || {
            let encoded = request.with_body(request.body.encode());
            let calling = call_in_parts(encoded, limit, span.clone());
            Ok(State::InParts(Box::pin(calling)))
        };
        if connection.check_len(&outgoing).is_err() {
            return in_parts();
        }
        let (mut slot, reply) = request.client.reserve_reply_slot(request.method)?;
        outgoing.reply = Some(reply);
        let outgoing = match slot.should_batch() {
            true => connection.publish_batched(outgoing),
            false => Some(outgoing),
        };
        let Some(outgoing) = outgoing else {
            return Ok(State::Waiting(slot));
        };
        let reply = outgoing.reply.clone();
        match slot.poll_publish(pin!(connection.publish(outgoing)), cx) {
            Poll::Ready(Ok(())) => return Ok(State::Waiting(slot)),
            // The limit has changed since, with a new connection.
            Poll::Ready(Err(PublishError::TooLarge { .. })) => return in_parts(),
            Poll::Ready(Err(error)) => return request.wait_or_fail(error),
            Poll::Pending => {}
        }
        // The publish was polled on the stack and is dropped now; it has sent nothing.
        let mut outgoing = request.outgoing(reply, left, span)?;
        wire::encode_cancel(&mut outgoing.headers, cancel_id);
        let connection = Arc::clone(connection);
        let publishing = Box::pin(async move { connection.publish(outgoing).await });
        Ok(State::Sending(publishing, slot))
    }

    /// Continues with a reply that the server offers to send on a stream.
    fn receive_in_parts(&self, offer: ReceivedReply, slot: ReplySlot) -> State {
        let request = self.request.with_body(Bytes::new());
        let limit = self.time_limit;
        let receiving = async move { receive_in_parts(&request, &offer, slot, limit).await };
        State::InParts(Box::pin(receiving))
    }

    /// Keeps the state for the next poll, after registering for everything that ends the wait early.
    fn wait_in(
        self: Pin<&mut Self>,
        state: State,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<ReceivedReply, Status>> {
        let mut this = self.project();
        if let Some(limit) = this.time_limit
            && this.deadline_timer.is_none()
        {
            let timer = tokio::time::sleep_until(limit.deadline);
            this.deadline_timer.set(Some(timer));
            *this.instance_watch = watch_instance(&this.request.client, limit.deadline);
        }
        if let Some(timer) = this.deadline_timer.as_pin_mut()
            && let Some(limit) = this.time_limit
            && timer.poll(cx).is_ready()
        {
            return Poll::Ready(Err(match state {
                State::InParts(_) => this.request.deadline_exceeded_in_parts(limit),
                State::Waiting(mut slot) => {
                    this.request
                        .end_at_deadline(&mut slot, *this.cancel_id, limit);
                    this.request.deadline_exceeded(limit)
                }
                State::Disconnected(_) | State::Sending(..) => this.request.not_sent_in_time(limit),
                State::Ready | State::Done => this.request.deadline_exceeded(limit),
            }));
        }
        if let Some(end) = this.parent_end
            && end.as_mut().poll(cx).is_ready()
        {
            if let State::Waiting(mut slot) = state {
                this.request.cancel(&mut slot, *this.cancel_id);
            }
            return Poll::Ready(Err(this.request.parent_ended()));
        }
        if let State::Waiting(_) = state
            && let Some(watch) = this.instance_watch
            && watch.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(this.request.instance_gone()));
        }
        *this.state = state;
        Poll::Pending
    }
}

impl<B: RequestBody> OutgoingRequest<B> {
    /// Waits for the connection where there is none and the call may wait, else fails.
    #[cold]
    fn wait_or_fail(&self, error: PublishError) -> Result<State, Status> {
        match error {
            PublishError::Disconnected if self.waits_for_ready() => {
                let connection = Arc::clone(self.client.connection());
                Ok(State::Disconnected(Box::pin(async move {
                    connection.ready().await
                })))
            }
            error => Err(self.not_sent(error)),
        }
    }
}

impl<B: RequestBody> Attempt for UnaryExchange<B> {
    type Body = B;
    type Output = ReceivedReply;

    fn request(&self) -> &OutgoingRequest<B> {
        &self.request
    }

    fn deadline(&self) -> Option<Instant> {
        self.time_limit.map(|limit| limit.deadline)
    }

    /// Only a reply that is a failure puts back `Ready`, and a call in parts without responders.
    fn can_repeat(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    #[inline]
    fn poll_attempt(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        span: &Span,
    ) -> Poll<Result<ReceivedReply, Status>> {
        loop {
            // An early return leaves `Done`, unless a state is put back.
            let state = std::mem::replace(self.as_mut().project().state, State::Done);
            let next = match state {
                State::Ready => self.as_mut().send(cx, span)?,
                State::Sending(mut publishing, mut slot) => {
                    match slot.poll_publish(publishing.as_mut(), cx) {
                        Poll::Ready(Ok(())) => State::Waiting(slot),
                        Poll::Ready(Err(error)) => self.request.wait_or_fail(error)?,
                        Poll::Pending => return self.wait_in(State::Sending(publishing, slot), cx),
                    }
                }
                State::Disconnected(mut ready) => match ready.as_mut().poll(cx) {
                    Poll::Ready(Ok(())) => State::Ready,
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(self.request.not_sent(error)));
                    }
                    Poll::Pending => return self.wait_in(State::Disconnected(ready), cx),
                },
                State::InParts(mut in_parts) => match in_parts.as_mut().poll(cx) {
                    Poll::Ready(reply) => {
                        if is_without_responders(&reply) {
                            // No part was sent.
                            *self.project().state = State::Ready;
                        }
                        return Poll::Ready(reply);
                    }
                    Poll::Pending => return self.wait_in(State::InParts(in_parts), cx),
                },
                State::Waiting(mut slot) => match slot.poll(cx) {
                    Poll::Ready(Ok(reply)) if continues_as_stream(reply.headers()) => {
                        self.receive_in_parts(reply, slot)
                    }
                    Poll::Ready(Err(status)) => {
                        let this = self.as_mut().project();
                        if status.reason() == Some(Reason::Disconnected) {
                            if slot.was_never_sent() && this.request.waits_for_ready() {
                                *this.state =
                                    this.request.wait_or_fail(PublishError::Disconnected)?;
                                continue;
                            }
                            this.request.cancel_after_loss(&mut slot, *this.cancel_id);
                        }
                        *this.state = State::Ready;
                        return Poll::Ready(Err(status));
                    }
                    Poll::Ready(Ok(reply)) => {
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

fn is_without_responders(reply: &Result<ReceivedReply, Status>) -> bool {
    let reason = reply.as_ref().err().and_then(Status::reason);
    reason == Some(Reason::NoResponders)
}

impl<B: RequestBody> Future for RetryLoop<UnaryExchange<B>> {
    type Output = Result<ReceivedReply, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let result = ready!(self.as_mut().poll_attempts(cx));
        let failure = result.as_ref().err().map(Status::code);
        self.call().end(failure);
        Poll::Ready(result)
    }
}
