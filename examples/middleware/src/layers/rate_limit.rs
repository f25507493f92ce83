//! Turns calls away that come faster than a quota of the crate `governor` allows.
//!
//! `tower`'s own rate limit makes callers wait, and wants a `Buffer` to be shared. This one answers
//! at once, and says when to come again; micro's clients honor that when they send a call again.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use governor::clock::Clock;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use micro_runtime::Status;
use micro_runtime::details::RetryInfo;
use micro_runtime::middleware::{Next, Request, Response, ResponseFuture};
use tower::{Layer, Service};

/// Allows as many calls as the quota does, whoever makes them.
#[derive(Clone, Debug)]
pub struct RateLimit(Arc<DefaultDirectRateLimiter>);

/// What [`RateLimit`] makes.
#[derive(Clone, Debug)]
pub struct RateLimitService {
    limiter: Arc<DefaultDirectRateLimiter>,
    next: Next,
}

impl RateLimit {
    /// Starts with nothing of the quota used.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self(Arc::new(RateLimiter::direct(quota)))
    }
}

impl Layer<Next> for RateLimit {
    type Service = RateLimitService;

    fn layer(&self, next: Next) -> RateLimitService {
        let limiter = Arc::clone(&self.0);
        RateLimitService { limiter, next }
    }
}

impl Service<Request> for RateLimitService {
    type Response = Response;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.next.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        match self.limiter.check() {
            Ok(()) => self.next.call(request),
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.limiter.clock().now());
                Box::pin(async move { Err(refusal(wait)) })
            }
        }
    }
}

fn refusal(wait: Duration) -> Status {
    let retry_delay = prost_types::Duration::try_from(wait).ok();
    let text = format!("too many calls; come again in {:.1} s", wait.as_secs_f64());
    Status::resource_exhausted(text).with_detail(&RetryInfo { retry_delay })
}
