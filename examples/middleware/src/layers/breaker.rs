//! Stops calling a service that is not there, with the circuit breaker of the crate
//! `tower-resilience-circuitbreaker`. It is a `tower` layer and fits as it is; what is added says
//! which failures count, and which status a caller gets whose call was not made.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::time::Duration;

use micro_runtime::middleware::{Layered, Next, Response};
use micro_runtime::{Code, Status};
use tower::{Layer, ServiceBuilder};
use tower_resilience_circuitbreaker::{CircuitBreakerConfigError, CircuitBreakerError};
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, CircuitState};

/// So many failures in a row open the circuit.
pub const FAILURES: usize = 3;
/// As long nothing is sent; then one call tries.
pub const REST: Duration = Duration::from_millis(300);

/// Makes the layer; it prints when the circuit opens and closes.
///
/// # Errors
///
/// When the crate does not accept the settings.
pub fn breaker()
-> Result<impl Layer<Next, Service = impl Layered> + Send + Sync, CircuitBreakerConfigError> {
    let breaker = CircuitBreakerLayer::builder()
        .consecutive_failures(FAILURES)
        .wait_duration_in_open(REST)
        .failure_classifier(is_failure)
        .on_state_transition(|_, state| {
            let state = match state {
                CircuitState::Closed => "closed: calls are made",
                CircuitState::Open => "open: no call is made",
                CircuitState::HalfOpen => "half open: one call tries",
            };
            println!("  breaker: {state}");
        })
        .build()?;
    Ok(ServiceBuilder::new().map_err(status).layer(breaker))
}

/// A service that says no is well; one that is not there, or does not answer, is not.
fn is_failure(result: &Result<Response, Status>) -> bool {
    let code = result.as_ref().err().map(Status::code);
    matches!(code, Some(Code::Unavailable | Code::DeadlineExceeded))
}

fn status(error: CircuitBreakerError<Status>) -> Status {
    match error {
        CircuitBreakerError::OpenCircuit => Status::unavailable("the circuit is open"),
        CircuitBreakerError::Inner(status) => status,
    }
}
