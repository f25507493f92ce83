//! The context of a durable event's handler: its attempt, its progress, and its rejection of the event.

use std::borrow::Cow;

use crate::context::context::Context;
#[cfg(feature = "jetstream")]
use crate::context::delivery::Delivery;
use crate::status::Status;

impl Context {
    /// Returns the number of this attempt at a durable event, from 1: how often a handler has begun with it.
    ///
    /// A delivery that no handler has begun with is no attempt: `jetstream::Delivery::count`
    /// may be higher. 1 for a call, for an event that is not durable, and for a batch, whose events have one each
    /// (`jetstream::Delivery::attempt`).
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::Context;
    ///
    /// assert_eq!(Context::for_test().attempt(), 1);
    /// ```
    #[must_use]
    pub fn attempt(&self) -> u64 {
        #[cfg(feature = "jetstream")]
        if let Some(delivery) = self.delivery() {
            return delivery.attempt();
        }
        1
    }

    /// Reports that the handler of a durable event, or of a batch of them, comes on: its
    /// `jetstream::Durable::handler_timeout` begins anew, and its
    /// [`deadline`](Self::deadline) moves. It costs no message, so that it may be called for each row of a long work.
    ///
    /// No effect for calls, whose deadline is their caller's, and for events that are not durable. Calls that were made
    /// `.within(&ctx)` before keep the deadline that they have.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{Context, Status};
    ///
    /// async fn import(ctx: Context, rows: Vec<String>) -> Result<(), Status> {
    ///     for row in rows {
    ///         write(row).await?;
    ///         ctx.progress();
    ///     }
    ///     Ok(())
    /// }
    /// # async fn write(_: String) -> Result<(), Status> { Ok(()) }
    /// ```
    pub fn progress(&self) {
        self.restart_deadline();
    }

    /// Returns the context of one event of a batch: its metadata, trace and subject, as a handler of single events has
    /// them. Deadline, progress and end are those of the batch. A call for one event of a batch is made `.within` it.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::jetstream::DurableEvent;
    /// use micro_runtime::{Context, Status};
    ///
    /// async fn record(ctx: Context, events: Vec<DurableEvent<String>>) -> Result<(), Status> {
    ///     for event in events {
    ///         let ctx = ctx.for_delivery(&event.delivery);
    ///         println!("{} of {:?}", *event, ctx.header("tenant"));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    #[cfg(feature = "jetstream")]
    #[must_use]
    pub fn for_delivery(&self, delivery: &Delivery) -> Self {
        self.of_event_in_batch(delivery)
    }

    /// Returns the failure by which a handler rejects a durable event for good: no attempt at it can succeed, and it
    /// goes to the dead letters at once. The code is `FAILED_PRECONDITION`.
    ///
    /// `INVALID_ARGUMENT`, `OUT_OF_RANGE` and `UNIMPLEMENTED` have the same effect; all other failures are tried again
    /// (`jetstream::Durable::max_attempts`). Several events that fail together, as a
    /// batch, are tried again one by one. For calls and core events it is a failure like any other.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{Context, Status};
    ///
    /// async fn book(ctx: Context, account: Option<u64>) -> Result<(), Status> {
    ///     let account = account.ok_or_else(|| ctx.reject("the account was closed"))?;
    ///     println!("booked on {account}");
    ///     Ok(())
    /// }
    /// ```
    #[must_use = "the handler must return it"]
    pub fn reject(&self, cause: impl Into<Cow<'static, str>>) -> Status {
        Status::failed_precondition(cause).into_rejection()
    }
}
