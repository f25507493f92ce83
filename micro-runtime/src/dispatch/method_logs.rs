//! `MethodLogs`: the log lines of one method's handlers.

use crate::log_limit::LogLimit;
use crate::status::Status;

/// Logs of the handlers of one method, which fail as often as they are called.
#[derive(Default)]
pub(crate) struct MethodLogs {
    panics: LogLimit,
    destructor_panics: LogLimit,
    internal_errors: LogLimit,
    unsent_ends: LogLimit,
}

impl MethodLogs {
    /// Logs a handler of `method` that panicked with `text`.
    pub(super) fn panicked(&self, method: &'static str, text: &str) {
        let panic = text.to_owned();
        self.panics.write(move |count| {
            tracing::error!(method, panic, count, "a handler panicked");
        });
    }

    /// Logs a destructor of a handler that panicked with `text`.
    pub(super) fn destructor_panicked(&self, method: &'static str, text: &str) {
        let panic = text.to_owned();
        self.destructor_panics.write(move |count| {
            tracing::error!(
                handler = method,
                panic,
                count,
                "a destructor of a handler panicked"
            );
        });
    }

    /// Logs a failure whose cause the caller cannot see.
    pub(super) fn internal_error(&self, method: &'static str, status: &Status) {
        let status = status.clone();
        self.internal_errors.write(move |count| {
            let status = status.with_sources();
            tracing::warn!(method, %status, count, "a call failed by an internal error");
        });
    }

    /// Logs the end of a call by hand that the connection did not take.
    pub(super) fn unsent_end(&self, method: &'static str) {
        self.unsent_ends.write(move |count| {
            tracing::warn!(method, count, "the end of a stream could not be sent");
        });
    }
}
