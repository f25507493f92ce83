//! Layers to copy. Each is a `tower::Layer` that wraps [`Next`](micro_runtime::middleware::Next).

mod bearer_token;
mod call_log;
mod circuit_breaker;
mod rate_limit;

pub use bearer_token::{AddBearerToken, AddBearerTokenService};
pub use bearer_token::{RequireBearerToken, RequireBearerTokenService};
pub use call_log::{CallLog, CallLogService};
pub use circuit_breaker::{MAX_CONSECUTIVE_FAILURES, OPEN_DURATION, circuit_breaker};
pub use rate_limit::{RateLimit, RateLimitService};
