//! The way of a call through the client's middleware, which ends with the call's deadline and with its parent.
//!
//! The exchange behind the layers keeps both as well, so that its errors are those of a call without middleware. What
//! is added here is the time that the layers take themselves.

use std::future::pending;
use tokio::time::Instant;

use crate::bus::NoRuntime;
use crate::client::call_errors;
use crate::client::call_options::parent_ended;
use crate::context::{Context, TimeLimit};
use crate::middleware::{LayeredCall, Response};
use crate::status::Status;

/// What ends a call, wherever in its layers it is.
pub(super) struct CallBounds {
    /// Full name of the method.
    pub(super) method: &'static str,
    /// `None` for a stream without a deadline.
    pub(super) limit: Option<TimeLimit>,
    pub(super) parent: Option<Context>,
}

impl CallBounds {
    /// Fails a call that must not begin, in the order of a call without middleware.
    ///
    /// # Errors
    ///
    /// `DEADLINE_EXCEEDED` behind the deadline, `CANCELLED` behind the end of the parent, `FAILED_PRECONDITION` outside
    /// of a tokio runtime.
    pub(super) fn check(&self) -> Result<(), Status> {
        if let Some(limit) = &self.limit
            && limit.deadline <= Instant::now()
        {
            return Err(call_errors::deadline_exceeded(self.method, limit));
        }
        if self.parent.as_ref().is_some_and(Context::is_ended) {
            return Err(call_errors::parent_ended(self.method));
        }
        NoRuntime::check()
            .map_err(|none| none.into_status(format_args!("{} is not called", self.method)))
    }

    /// Waits for the response of the layers, up to the deadline and the end of the parent. Dropping the call then
    /// cancels it at the server.
    pub(super) async fn pass(self, call: LayeredCall) -> Result<Response, Status> {
        let deadline = async {
            match &self.limit {
                Some(limit) => {
                    tokio::time::sleep_until(limit.deadline).await;
                    call_errors::deadline_exceeded_in_layers(self.method, limit)
                }
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            response = call => response,
            () = parent_ended(self.parent.as_ref()) => Err(call_errors::parent_ended(self.method)),
            status = deadline => Err(status),
        }
    }
}
