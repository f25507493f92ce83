//! `MemoryBudget`: the bytes that a server holds for its peers, and their limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_nats::Message;

use crate::log_limit::LogLimit;
use crate::observe::MemoryMetrics;
use crate::status::{Reason, Status};

/// The bytes that are held for peers, and how many there may be: requests that wait or run, messages of streams that
/// were not read, requests in parts, replies that are offered and not taken yet.
///
/// A peer chooses what it sends, and can name itself as it likes: limits by number, or of each peer, bound no memory.
/// The bytes of a thing are taken here before it is held, and it is refused where they are not left.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    limit: usize,
    used: AtomicUsize,
    refused: AtomicU64,
    /// The budget that the bytes count for besides: a caller has a share of its server's.
    whole: Option<Arc<Self>>,
    /// Of the whole.
    metrics: Option<MemoryMetrics>,
    log: LogLimit,
}

/// Step in which memory is taken for messages that wait in a queue. The first so many bytes of each queue need none: a
/// small message is kept though others have used the budget up.
pub(crate) const QUEUE_STEP: usize = 64 * 1024;
/// Maximum number of bytes besides the limit for refusals of requests while the connection takes no replies: so many
/// callers learn of a budget that is used up. 16 MiB hold 30,000 or so.
const MAX_REFUSAL_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that a message takes besides its content and itself, about: its buffers, and the table of its headers.
const MESSAGE_OVERHEAD: usize = 256;

/// Returns the number of bytes that a message takes while it waits, about.
pub(crate) fn memory_of(message: &Message) -> usize {
    message.length + size_of::<Message>() + MESSAGE_OVERHEAD
}

/// Returns the failure of what would exceed the budget of a server, or the share of its caller.
pub(crate) fn exceeded() -> Status {
    let text = "the server holds as much for its callers, or for this one, as its memory budget allows \
                (`Server::memory_budget`)";
    Reason::Overloaded.status(text)
}

/// Bytes of a budget. They are given back when it is dropped.
#[derive(Debug)]
pub(crate) struct HeldBytes {
    /// `None` where nothing is counted, as at a client.
    budget: Option<Arc<MemoryBudget>>,
    bytes: usize,
}

impl MemoryBudget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            whole: None,
            metrics: Some(MemoryMetrics::new()),
            log: LogLimit::default(),
        })
    }

    /// Returns a part of this budget with a limit of its own.
    pub(crate) fn share(self: &Arc<Self>, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            whole: Some(Arc::clone(self)),
            metrics: None,
            log: LogLimit::default(),
        })
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Returns the number of bytes that are held now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns how often something was refused since it would have exceeded the limit.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Returns whether more than half of the bytes are held: what is granted to peers in advance shrinks then.
    pub(crate) fn is_short(&self) -> bool {
        self.used() > self.limit / 2 || self.whole.as_ref().is_some_and(|whole| whole.is_short())
    }

    /// Takes bytes; `None` if so many are not left, which is counted.
    #[must_use]
    pub(crate) fn try_take(self: &Arc<Self>, bytes: usize) -> Option<HeldBytes> {
        let mut held = HeldBytes::of(self);
        held.try_set(bytes).then_some(held)
    }

    /// Counts that something was refused.
    fn note_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            return whole.note_refused();
        }
        if let Some(metrics) = &self.metrics {
            metrics.refused();
        }
        let limit = self.limit;
        self.log.write(move |count| {
            tracing::warn!(
                limit,
                count,
                "the memory budget of the server, or the share of a caller, is used up: a call, an opening or a message \
                 of a stream was refused"
            );
        });
    }

    /// Adds bytes that are held; `false`, and nothing, if they exceed the limit and what may be held besides.
    fn try_add(&self, bytes: usize, besides: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::AcqRel);
        let limit = self.limit.saturating_add(besides);
        let fits = before.checked_add(bytes).is_some_and(|used| used <= limit);
        let fits = fits
            && self
                .whole
                .as_ref()
                .is_none_or(|whole| whole.try_add(bytes, besides));
        match &self.metrics {
            _ if !fits => {
                self.used.fetch_sub(bytes, Ordering::Relaxed);
            }
            Some(metrics) => metrics.hold(bytes),
            None => {}
        }
        fits
    }

    /// Gives bytes back, to the whole first: it never counts more than its shares.
    fn give_back(&self, bytes: usize) {
        if let Some(whole) = &self.whole {
            whole.give_back(bytes);
        }
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        if let Some(metrics) = &self.metrics {
            metrics.give_back(bytes);
        }
    }
}

impl HeldBytes {
    /// Returns no bytes of this budget.
    pub(crate) fn of(budget: &Arc<MemoryBudget>) -> Self {
        Self {
            budget: Some(Arc::clone(budget)),
            bytes: 0,
        }
    }

    /// Returns what holds any number of bytes, which nothing counts.
    pub(crate) fn uncounted() -> Self {
        Self {
            budget: None,
            bytes: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn budget(&self) -> Option<&Arc<MemoryBudget>> {
        self.budget.as_ref()
    }

    /// Holds so many bytes from now on; `false` if they are not left, which is counted, and then as many as before.
    #[must_use]
    pub(crate) fn try_set(&mut self, bytes: usize) -> bool {
        self.try_reserve(bytes, bytes)
    }

    /// Holds `wanted` bytes from now on, or as many as are `needed` where those are not left; as
    /// [`try_set`](Self::try_set).
    #[must_use]
    pub(crate) fn try_reserve(&mut self, wanted: usize, needed: usize) -> bool {
        let fits = self.try_hold(wanted, 0) || (needed < wanted && self.try_hold(needed, 0));
        if let Some(budget) = &self.budget
            && !fits
        {
            budget.note_refused();
        }
        fits
    }

    /// Holds what a queue of so many bytes needs, some in advance; `false` if it is not left, which is counted.
    #[must_use]
    pub(crate) fn try_set_queue(&mut self, bytes: usize) -> bool {
        let needed = bytes.saturating_sub(QUEUE_STEP);
        needed <= self.bytes || self.try_reserve(needed.next_multiple_of(QUEUE_STEP), needed)
    }

    /// Holds what a queue of so many bytes needs, of which the last message is a refusal: [`MAX_REFUSAL_BYTES`] may be
    /// held besides the limit. `false` if that is not left, which is not counted.
    #[must_use]
    pub(crate) fn try_set_queue_with_refusal(&mut self, bytes: usize) -> bool {
        let needed = bytes.saturating_sub(QUEUE_STEP);
        let wanted = needed.next_multiple_of(QUEUE_STEP);
        needed <= self.bytes || self.try_hold(wanted, MAX_REFUSAL_BYTES)
    }

    /// Gives back what exceeds the need of a queue of so many bytes.
    pub(crate) fn shrink_to_queue(&mut self, bytes: usize) {
        let needed = bytes.saturating_sub(QUEUE_STEP);
        self.shrink_to(needed.next_multiple_of(QUEUE_STEP));
    }

    fn try_hold(&mut self, bytes: usize, besides: usize) -> bool {
        if let Some(budget) = &self.budget
            && bytes > self.bytes
            && !budget.try_add(bytes - self.bytes, besides)
        {
            return false;
        }
        self.shrink_to(bytes);
        self.bytes = bytes;
        true
    }

    /// Gives back what exceeds so many bytes.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if bytes < self.bytes {
            if let Some(budget) = &self.budget {
                budget.give_back(self.bytes - bytes);
            }
            self.bytes = bytes;
        }
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_is_held_and_all_is_given_back() {
        let budget = MemoryBudget::new(100);
        let mut first = budget.try_take(60).unwrap();
        assert!(budget.try_take(41).is_none());
        let second = budget.try_take(40).unwrap();
        assert_eq!((budget.used(), budget.refused()), (100, 1));
        assert!(!first.try_set(61));
        assert!(first.try_set(10));
        assert_eq!((first.bytes(), budget.used()), (10, 50));
        first.shrink_to(20);
        drop((first, second));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_share_counts_for_the_whole_and_has_a_limit_of_its_own() {
        let budget = MemoryBudget::new(100);
        let [first, second] = [(); 2].map(|()| budget.share(80));
        let held = first.try_take(80).unwrap();
        assert!(first.try_take(1).is_none(), "above its limit");
        assert!(second.try_take(21).is_none(), "above that of the whole");
        assert!(second.try_take(20).is_some());
        assert_eq!((budget.used(), second.used(), budget.refused()), (80, 0, 2));
        assert!(second.is_short());
        drop(held);
        assert_eq!((budget.used(), first.used()), (0, 0));
    }

    #[test]
    fn refusals_may_take_a_reserve_besides_the_limit() {
        let budget = MemoryBudget::new(QUEUE_STEP);
        let taken = budget.try_take(QUEUE_STEP).unwrap();
        let mut queue = HeldBytes::of(&budget);
        assert!(!queue.try_set_queue(QUEUE_STEP + 1));
        let most = QUEUE_STEP + MAX_REFUSAL_BYTES;
        assert!(queue.try_set_queue_with_refusal(most));
        assert!(!queue.try_set_queue_with_refusal(most + 1));
        assert!(budget.try_take(1).is_none(), "nothing else may");
        assert_eq!(budget.refused(), 2, "refusals are not counted here");
        queue.shrink_to_queue(0);
        drop(taken);
        assert!(budget.try_take(QUEUE_STEP).is_some());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn numbers_that_overflow_are_refused() {
        let budget = MemoryBudget::new(usize::MAX);
        let _held = budget.try_take(2).unwrap();
        assert!(budget.try_take(usize::MAX).is_none());
        assert_eq!(budget.used(), 2);
    }

    #[test]
    fn threads_that_take_at_the_same_time_never_hold_more_together() {
        let budget = MemoryBudget::new(1000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for bytes in 0..10_000 {
                        let held = budget.try_take(bytes % 700);
                        assert!(held.is_none_or(|held| held.bytes() <= 1000));
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_uncounted_holds_any_number() {
        let mut held = HeldBytes::uncounted();
        assert!(held.try_set(usize::MAX) && held.try_set(1));
    }
}
