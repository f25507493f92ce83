//! `poll_once`: one poll that registers no task to wake.

use std::task::{Context as TaskContext, Poll, Waker};

/// Calls `poll` with a waker that does nothing.
///
/// This is the trial in place: most short handlers are ready after it. A future that is `Pending` must be
/// polled anew, by its own task and with a waker that works, or nothing would ever wake it.
pub(crate) fn poll_once<T>(poll: impl FnOnce(&mut TaskContext<'_>) -> Poll<T>) -> Poll<T> {
    poll(&mut TaskContext::from_waker(Waker::noop()))
}
