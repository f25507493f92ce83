//! Rejects calls above a rate, with a quota of the crate `governor`.
//!
//! `tower`'s own rate limit makes callers wait, and needs a `Buffer` around it before it can be
//! shared. This layer rejects a call at once and attaches the delay after which a retry can succeed;
//! micro's clients respect that delay when they retry.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use governor::clock::Clock;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use micro_runtime::Status;
use micro_runtime::details::RetryInfo;
use micro_runtime::middleware::{Next, Request, Response, ResponseFuture};
use tower::{Layer, Service};

/// Layer that shares one quota among all callers.
#[derive(Clone, Debug)]
pub struct RateLimit(Arc<DefaultDirectRateLimiter>);

/// Service that [`RateLimit`] wraps around the next one.
#[derive(Clone, Debug)]
pub struct RateLimitService {
    limiter: Arc<DefaultDirectRateLimiter>,
    next: Next,
}

impl RateLimit {
    /// Creates a limit whose quota is unused.
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
                let delay = not_until.wait_time_from(self.limiter.clock().now());
                Box::pin(async move { Err(too_many_calls(delay)) })
            }
        }
    }
}

fn too_many_calls(delay: Duration) -> Status {
    let retry_delay = prost_types::Duration::try_from(delay).ok();
    let text = format!("too many calls; retry in {:.1} s", delay.as_secs_f64());
    Status::resource_exhausted(text).with_detail(&RetryInfo { retry_delay })
}
