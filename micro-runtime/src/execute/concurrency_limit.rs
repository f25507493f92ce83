//! `ConcurrencyLimit`: the admission of handlers, which never waits.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Maximum number of handlers that run at a time, and how many do.
///
/// A handler over the limit is refused at once and not queued: a queue would hide an overload until
/// its requests are too old to be worth an answer.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimit {
    limit: usize,
    running: AtomicUsize,
}

impl ConcurrencyLimit {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            running: AtomicUsize::new(0),
        }
    }

    /// Takes one permit; `false` if the limit is reached. Each permit is given back by one
    /// [`release`](Self::release).
    #[must_use]
    pub(crate) fn try_acquire(&self) -> bool {
        let before = self.running.fetch_add(1, Ordering::Relaxed);
        if before >= self.limit {
            self.release();
            return false;
        }
        true
    }

    pub(crate) fn release(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Number of permits that are taken now.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

/// Takes one permit of every limit, or of none.
///
/// # Errors
///
/// Index of the first limit that is reached.
pub(crate) fn acquire_all(limits: &[&ConcurrencyLimit]) -> Result<(), usize> {
    for (index, limit) in limits.iter().enumerate() {
        if !limit.try_acquire() {
            limits[..index].iter().for_each(|limit| limit.release());
            return Err(index);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_given_up_to_the_limit() {
        let limit = ConcurrencyLimit::new(2);
        assert!(limit.try_acquire());
        assert!(limit.try_acquire());
        assert!(!limit.try_acquire());
        limit.release();
        assert!(limit.try_acquire());
        assert!(!ConcurrencyLimit::new(0).try_acquire());
    }

    #[test]
    fn a_limit_that_is_reached_takes_no_permit_of_the_others() {
        let (wide, narrow) = (ConcurrencyLimit::new(9), ConcurrencyLimit::new(1));
        assert_eq!(acquire_all(&[&wide, &narrow]), Ok(()));
        assert_eq!(acquire_all(&[&wide, &narrow, &wide]), Err(1));
        assert_eq!((wide.running(), narrow.running()), (1, 1));
    }
}
