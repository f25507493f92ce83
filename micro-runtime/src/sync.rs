//! Locking of a standard mutex that ignores poison.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whether or not another thread panicked while it held the lock.
///
/// The standard library poisons a mutex because a panic may leave its value half changed. The critical sections of
/// this crate are short and make changes that belong together without a call in between that can panic; passing a
/// panic on would only spread it to calls that have nothing to do with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
