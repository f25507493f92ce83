//! `NoRuntime`: the failure of what needs a tokio runtime and is polled outside of one. Also the end of a runtime.
//!
//! Timers and spawned tasks panic there. So whatever uses them checks first, before anything is sent.

use std::fmt;

use tokio::runtime::Handle;

use crate::error::{Error, ErrorKind};
use crate::status::Status;

/// Proof that there is no tokio runtime on this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoRuntime;

impl NoRuntime {
    /// Returns an error outside of a tokio runtime.
    ///
    /// Every call passes here. A task is recognized by its id alone, which is one thread-local read; only the main
    /// future of `Runtime::block_on`, which has none, takes the reference count of the runtime.
    #[inline]
    pub(crate) fn check() -> Result<(), Self> {
        match tokio::task::try_id().is_some() || Handle::try_current().is_ok() {
            true => Ok(()),
            false => Err(Self),
        }
    }

    /// Returns the failure of a call; `what` is what was not done, as in "a.B.C was not called".
    #[cold]
    pub(crate) fn into_status(self, what: impl fmt::Display) -> Status {
        Status::failed_precondition(format!("{what}: {self}"))
    }

    /// Returns the failure of an operation; `what` as above.
    #[cold]
    pub(crate) fn into_error(self, what: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Runtime, format!("{what}: {self}"))
    }
}

/// Returns whether the runtime of this task ends, as at the end of `main`. It drops its tasks one by one, and those
/// that are left find their connections and subscriptions at an end, which is no fault.
pub(crate) async fn is_runtime_ending() -> bool {
    // A runtime takes no further task before it drops the first.
    tokio::spawn(async {}).await.is_err()
}

impl fmt::Display for NoRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "it is polled outside of a tokio runtime; await it in a task of tokio or in `Runtime::block_on`",
        )
    }
}
