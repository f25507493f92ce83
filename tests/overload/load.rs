//! The load of a burst.

use std::time::Duration;

/// Subject of the method that the burst calls.
pub(crate) const METHOD: &str = "greeter.v1.Greeter.SayHello";
/// Time of the callers of a burst.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(100);
