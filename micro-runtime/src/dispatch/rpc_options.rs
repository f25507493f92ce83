//! `RpcOptions`: the options that a handler's `#[rpc(…)]` attributes set.

use std::time::Duration;

/// Options of one method from `#[rpc(…)]` on its handler. `#[service]` makes them, as the hidden
/// constant `__MICRO_RPC` of the handler's trait.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct RpcOptions {
    method: &'static str,
    pub(super) timeout: Option<Duration>,
    pub(super) max_concurrent: Option<u32>,
    pub(super) queue_group: Option<&'static str>,
    pub(super) is_blocking: bool,
    pub(super) is_detached: bool,
}

impl RpcOptions {
    /// Makes options with nothing set for the method of this name, spelt as in the .proto.
    #[must_use]
    pub const fn new(method: &'static str) -> Self {
        Self {
            method,
            timeout: None,
            max_concurrent: None,
            queue_group: None,
            is_blocking: false,
            is_detached: false,
        }
    }

    /// Sets the timeout of calls that bring none, in milliseconds.
    #[must_use]
    pub const fn timeout_ms(mut self, milliseconds: u64) -> Self {
        self.timeout = Some(Duration::from_millis(milliseconds));
        self
    }

    /// Sets the maximum number of calls of the method that one instance runs at a time; 0 lifts the limit
    /// of the .proto.
    #[must_use]
    pub const fn max_concurrent(mut self, calls: u32) -> Self {
        self.max_concurrent = Some(calls);
        self
    }

    /// Sets the queue group; `-` for none.
    #[must_use]
    pub const fn queue(mut self, group: &'static str) -> Self {
        self.queue_group = Some(group);
        self
    }

    /// Runs the handler on a thread of tokio's pool for blocking work, which it may block. Of a streaming
    /// method only the part before the stream is returned runs there. A call holds its permit until its thread is free,
    /// also behind its deadline.
    #[must_use]
    pub const fn blocking(mut self) -> Self {
        self.is_blocking = true;
        self
    }

    /// Lets the handler run to its end whatever its caller does, for work that must not be torn off: after
    /// its deadline, after a RESET of its stream, and after a client that has gone silent. The outcome is
    /// that end of the call all the same, and the result of the handler is dropped. Further reads of its
    /// requests fail with the status of that end. Only the end of the server's grace period drops the
    /// handler.
    #[must_use]
    pub const fn detached(mut self) -> Self {
        self.is_detached = true;
        self
    }

    /// Returns the options of a method among those of its handler; none set if it has no entry.
    pub(super) fn find(method: &'static str, options: &[Self]) -> Self {
        options
            .iter()
            .find(|options| options.method == method)
            .copied()
            .unwrap_or(Self::new(method))
    }
}
