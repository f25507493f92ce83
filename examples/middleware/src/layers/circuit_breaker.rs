//! Stops sending calls to a service that is unavailable, with the circuit breaker of the crate
//! `tower-resilience-circuitbreaker`.
//!
//! That crate's layer fits unchanged. This file adds the classification of failures and the status
//! of a call that is rejected while the circuit is open.
#![expect(clippy::print_stdout, reason = "the output is the point of an example")]

use std::time::Duration;

use micro_runtime::middleware::{Layered, Next, Response};
use micro_runtime::{Code, Status};
use tower::{Layer, ServiceBuilder};
use tower_resilience_circuitbreaker::{CircuitBreakerConfigError, CircuitBreakerError};
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, CircuitState};

/// Number of failures in a row that opens the circuit.
pub const MAX_CONSECUTIVE_FAILURES: usize = 3;
/// Time for which an open circuit rejects every call; after it, one trial call is sent.
pub const OPEN_DURATION: Duration = Duration::from_secs(1);

/// Creates the layer; it prints each change of the circuit's state.
///
/// # Errors
///
/// If the crate rejects the settings.
pub fn circuit_breaker()
-> Result<impl Layer<Next, Service = impl Layered> + Send + Sync, CircuitBreakerConfigError> {
    let breaker = CircuitBreakerLayer::builder()
        .consecutive_failures(MAX_CONSECUTIVE_FAILURES)
        .wait_duration_in_open(OPEN_DURATION)
        .failure_classifier(is_failure)
        .on_state_transition(|_, state| {
            let state = match state {
                CircuitState::Closed => "closed: calls are sent",
                CircuitState::Open => "open: calls are rejected",
                CircuitState::HalfOpen => "half open: one trial call is sent",
            };
            println!("  breaker: {state}");
        })
        .build()?;
    Ok(ServiceBuilder::new().map_err(to_status).layer(breaker))
}

/// Returns whether the service was unreachable or too slow. Every other status comes from a service
/// that works, and does not count as a failure.
fn is_failure(result: &Result<Response, Status>) -> bool {
    let code = result.as_ref().err().map(Status::code);
    matches!(code, Some(Code::Unavailable | Code::DeadlineExceeded))
}

fn to_status(error: CircuitBreakerError<Status>) -> Status {
    match error {
        CircuitBreakerError::OpenCircuit => Status::unavailable("the circuit is open"),
        CircuitBreakerError::Inner(status) => status,
    }
}
