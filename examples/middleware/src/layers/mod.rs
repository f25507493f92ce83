//! Layers to copy. Each is a `tower::Layer` that wraps [`Next`](micro_runtime::middleware::Next).

mod breaker;
mod log;
mod rate_limit;
mod token;

pub use breaker::{FAILURES, REST, breaker};
pub use log::{Log, LogService};
pub use rate_limit::{RateLimit, RateLimitService};
pub use token::{CarryToken, CarryTokenService, DemandToken, DemandTokenService};
