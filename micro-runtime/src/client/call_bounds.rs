//! `CallBounds`: the deadline of a call and the end of its parent, for the parts of it that are not the exchange of
//! messages: the encoding of a long request by descriptors, its way through the client's middleware, and the decoding
//! of a long reply.
//!
//! The exchange keeps both itself, so that its errors are those of a call without middleware. What is added here is the
//! time that the layers take themselves, and the time in which a reply waits for its turn to be decoded.

use std::future::{Future, pending};

#[cfg(feature = "json")]
use bytes::Bytes;
use tokio::time::Instant;

use crate::bus::NoRuntime;
use crate::client::call_errors;
use crate::client::call_options::parent_ended;
use crate::context::{Context, TimeLimit};
use crate::middleware::{LayeredCall, Response};
use crate::status::Status;

/// Deadline and parent of a call, which end it wherever it is.
#[derive(Clone)]
pub(crate) struct CallBounds {
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
    pub(super) async fn pass(&self, call: LayeredCall) -> Result<Response, Status> {
        self.end(call, call_errors::deadline_exceeded_in_layers)
            .await
    }

    /// Waits for the decoding of a reply, up to the deadline and the end of the parent. Dropped before its turn, it
    /// does not begin.
    ///
    /// # Errors
    ///
    /// That of `decoding`; `DEADLINE_EXCEEDED` at the deadline, `CANCELLED` at the end of the parent.
    pub(crate) async fn decode<M>(
        &self,
        decoding: impl Future<Output = Result<M, Status>>,
    ) -> Result<M, Status> {
        self.end(decoding, call_errors::not_decoded_in_time).await
    }

    /// Waits for the encoding of a request, up to the deadline and the end of the parent; as [`decode`](Self::decode).
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    #[cfg(feature = "json")]
    pub(super) async fn encode(
        &self,
        encoding: impl Future<Output = Result<Bytes, Status>>,
    ) -> Result<Bytes, Status> {
        self.end(encoding, call_errors::not_encoded_in_time).await
    }

    /// Waits for `work` up to the deadline, of which `exceeded` is the failure, and the end of the parent.
    async fn end<T>(
        &self,
        work: impl Future<Output = Result<T, Status>>,
        exceeded: fn(&str, &TimeLimit) -> Status,
    ) -> Result<T, Status> {
        let deadline = async {
            match &self.limit {
                Some(limit) => {
                    tokio::time::sleep_until(limit.deadline).await;
                    exceeded(self.method, limit)
                }
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            result = work => result,
            () = parent_ended(self.parent.as_ref()) => Err(call_errors::parent_ended(self.method)),
            status = deadline => Err(status),
        }
    }
}
