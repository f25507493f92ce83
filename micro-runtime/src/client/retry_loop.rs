//! `RetryLoop`: makes attempts at one call until one succeeds or [`RetryPolicy`] fails the call.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Instant;
use tracing::Span;

use crate::client::call_options::parent_ended;
use crate::client::request::OutgoingRequest;
use crate::client::retry_policy::RetryPolicy;
use crate::observe::ClientCall;
use crate::status::Status;

/// One way of making a call: sends the request and waits for its outcome. Implemented by the unary
/// exchange and by the opening of a stream.
pub(crate) trait Attempt {
    type Body;
    type Output;

    fn request(&self) -> &OutgoingRequest<Self::Body>;

    /// Returns the deadline of the call; `None` for a call without one, or before the first attempt.
    fn deadline(&self) -> Option<Instant>;

    /// Polls the attempt. After a failure that [`can_repeat`](Self::can_repeat)
    /// the next poll begins a new attempt; after any other outcome it must not be polled again.
    ///
    /// A failure is a plain [`Status`] and not one of two kinds: the reply would be copied once more on its way
    /// from one result type to the other.
    fn poll_attempt(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        span: &Span,
    ) -> Poll<Result<Self::Output, Status>>;

    /// Returns whether another attempt may help after the failure that was returned last. It cannot if the
    /// deadline passed, the parent ended, a header is invalid or the connection is closed for good.
    fn can_repeat(&self) -> bool;
}

pin_project! {
    /// A call in progress: its attempts, the backoffs between them, its span and its metrics.
    ///
    /// This is the only place that sends a request again. It is polled by hand and holds the attempt by
    /// value, so that a call that succeeds at once allocates nothing here; a backoff, which is rare, is
    /// boxed and adds only two words to each call.
    ///
    /// Cancel safe: dropping it abandons the attempt or the backoff, and counts the call as canceled.
    pub(crate) struct RetryLoop<A> {
        #[pin]
        attempt: A,
        // Created by the first failure.
        policy: Option<RetryPolicy>,
        // Number of the current attempt; 0 before the first poll.
        number: u32,
        backoff: Option<Backoff>,
        call: ClientCall,
    }
}

/// Ends after the backoff, or with the error of the call when its parent ends before.
type Backoff = Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

impl<A: Attempt> RetryLoop<A> {
    pub(crate) fn new(attempt: A) -> Self {
        Self {
            attempt,
            policy: None,
            number: 0,
            backoff: None,
            call: ClientCall::default(),
        }
    }

    pub(crate) fn attempt(&self) -> &A {
        &self.attempt
    }

    /// Returns span and metrics of the call. The caller ends them.
    pub(crate) fn call(self: Pin<&mut Self>) -> &mut ClientCall {
        self.project().call
    }

    /// Polls attempts and backoffs until the call succeeded or failed. Does not end [`call`](Self::call):
    /// a stream that is open goes on.
    #[inline]
    pub(crate) fn poll_attempts(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<A::Output, Status>> {
        let mut this = self.project();
        if *this.number == 0 {
            begin(this.attempt.request(), this.call);
            *this.number = 1;
            this.call.attempt(1);
        }
        let span = this.call.span();
        let _entered = span.enter();
        loop {
            if let Some(backoff) = this.backoff {
                ready!(backoff.as_mut().poll(cx))?;
                *this.backoff = None;
                *this.number += 1;
                this.call.attempt(*this.number);
            }
            let attempt = this.attempt.as_mut();
            let status = match ready!(attempt.poll_attempt(cx, &span)) {
                Err(status) if this.attempt.can_repeat() => status,
                result => return Poll::Ready(result),
            };
            let request = this.attempt.request();
            let time_left = this.attempt.deadline().map(time_until);
            let budget = request.client.retry_budget();
            let policy = this.policy.get_or_insert_with(|| {
                RetryPolicy::new(request.descriptor(), request.options.may_retry)
            });
            let is_settling = request.client.connection().is_settling();
            let Some(backoff) = policy.retry_or_fail(&status, time_left, is_settling, budget)
            else {
                return Poll::Ready(Err(status));
            };
            tracing::debug!(
                method = request.method_name(),
                %status,
                ?backoff,
                "the request is sent again after a backoff"
            );
            *this.backoff = Some(wait(request, backoff));
        }
    }
}

/// Begins the span and the metrics of the call, and counts it for the retry budget.
fn begin<B>(request: &OutgoingRequest<B>, call: &mut ClientCall) {
    let method = request.descriptor();
    call.begin(method, request.client.metrics(request.method));
    request.client.retry_budget().deposit_for(method);
}

fn time_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn wait<B>(request: &OutgoingRequest<B>, backoff: Duration) -> Backoff {
    let failed = request.parent_ended();
    let parent = request.options.message.parent.clone();
    Box::pin(async move {
        tokio::select! {
            () = tokio::time::sleep(backoff) => Ok(()),
            () = parent_ended(parent.as_ref()) => Err(failed),
        }
    })
}
