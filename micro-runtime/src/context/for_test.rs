//! Contexts for unit tests, which call handlers without a server.

use std::time::Duration;

use tokio::time::Instant;

use crate::context::context::Context;
#[cfg(feature = "jetstream")]
use crate::context::context_headers::ContextHeaders;
#[cfg(feature = "jetstream")]
use crate::context::delivery::Delivery;
use crate::metadata::Metadata;

impl Context {
    /// Makes a context without method, metadata and deadline, to call a handler from a unit test.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{Context, Status};
    ///
    /// async fn greet(ctx: Context, name: &str) -> Result<String, Status> {
    ///     ctx.set_header("served-by", "a1")?;
    ///     Ok(format!("Hello, {name}!"))
    /// }
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let ctx = Context::for_test();
    /// assert_eq!(greet(ctx.clone(), "Ada").await?, "Hello, Ada!");
    /// assert_eq!(ctx.reply_metadata().get("served-by"), Some("a1"));
    /// # Ok::<(), Status>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn for_test() -> Self {
        Self::for_test_with(Metadata::new(), None)
    }

    /// Makes a context with metadata and a timeout from now, to call a handler from a unit test.
    #[must_use]
    pub fn for_test_with(metadata: Metadata, timeout: Option<Duration>) -> Self {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self::of_test(metadata, deadline)
    }

    /// Makes the context of a durable event, to call a handler from a unit test.
    #[cfg(feature = "jetstream")]
    #[must_use]
    pub fn for_test_of(delivery: Delivery) -> Self {
        Self::of_delivery(None, ContextHeaders::default(), delivery, None, None, None)
    }
}
