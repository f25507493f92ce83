//! `ConcurrencyLimit`: the admission of handlers, which never waits.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Maximum number of handlers that run at a time, and how many do.
///
/// A handler over the limit is refused at once and never queued, for three reasons:
///
/// - Permits are taken by the loop that reads a subscription. If it waited for one, everything behind
///   the request would wait too, without a deadline and unseen by any count.
/// - A queue hides an overload until its requests are too old for their replies to be of use. A caller
///   that is refused at once can still call another instance within its deadline.
/// - What is queued takes memory that no limit of the server bounds.
///
/// The handlers that run never exceed the limit. While a refusal is being undone on one thread,
/// another thread may be refused although a permit has just become free.
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
        // One read-modify-write instead of a compare-and-swap loop: a number is all that is shared, so
        // the order of other memory does not matter.
        let before = self.running.fetch_add(1, Ordering::Relaxed);
        if before >= self.limit {
            self.release();
            return false;
        }
        true
    }

    /// Gives one permit back. A release without its permit would wrap the count and refuse everything.
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
