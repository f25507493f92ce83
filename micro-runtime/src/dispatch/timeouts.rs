//! `Timeouts`: the bounds that a server sets on the timeouts of calls.

use std::time::Duration;

use crate::wire;

/// Bounds that a server sets on the timeouts of calls.
///
/// A server may shorten the timeout that a caller sends, and never lengthens it (docs/PROTOCOL.md, TIME-4): the
/// caller has stopped waiting by then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// Timeout of unary calls that bring none, unless service or method set another. 5 s.
    pub(crate) default: Duration,
    /// Minimum below which a call is refused: its reply would come too late. Zero by default.
    pub(crate) min: Duration,
    /// Maximum to which longer timeouts are shortened. Unlimited by default.
    pub(crate) max: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            default: wire::DEFAULT_TIMEOUT,
            min: Duration::ZERO,
            max: Duration::MAX,
        }
    }
}
