//! `Callers`: what each caller takes of the limits of a server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use crate::execute::ConcurrencyLimit;
use crate::memory_budget::MemoryBudget;
use crate::sync::lock;

/// Part of a limit that is left to other callers.
const KEPT_FOR_OTHERS: usize = 8;
/// Number of callers for which there is always room.
const MIN_CALLERS: usize = 8;

/// The callers that have streams, or of which the server holds memory, by the inboxes of their reply subjects.
///
/// A peer can name itself as it likes, so that shares protect callers from each other's mistakes and not from attacks:
/// then the limits of the whole server hold.
#[derive(Debug)]
pub(crate) struct Callers {
    by_inbox: Mutex<HashMap<Box<str>, Weak<Caller>>>,
    max_streams: usize,
    memory: Arc<MemoryBudget>,
}

/// One caller, as long as it takes anything.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) streams: ConcurrencyLimit,
    pub(crate) memory: Arc<MemoryBudget>,
}

impl Callers {
    /// Returns the shares of these limits of a server.
    pub(crate) fn new(max_streams: usize, memory_budget: usize) -> Self {
        Self {
            by_inbox: Mutex::default(),
            max_streams: share_of(max_streams),
            memory: MemoryBudget::new(memory_budget),
        }
    }

    /// Returns the maximum number of streams of one caller.
    pub(super) fn max_streams(&self) -> usize {
        self.max_streams
    }

    /// Returns the budget of all callers together.
    pub(crate) fn memory(&self) -> &Arc<MemoryBudget> {
        &self.memory
    }

    /// Returns the caller that waits at this reply subject.
    pub(super) fn of_reply(&self, reply: &str) -> Arc<Caller> {
        // `_INBOX.<id>.<request>`, or `_INBOX.<id>` of a client that makes an inbox for each request.
        let inbox = match reply.rsplit_once('.') {
            Some((inbox, _)) if inbox.contains('.') => inbox,
            _ => reply,
        };
        let mut by_inbox = lock(&self.by_inbox);
        if let Some(caller) = by_inbox.get(inbox).and_then(Weak::upgrade) {
            return caller;
        }
        // Those that have gone are removed when the table is full. It has room for as many again as are left, so that
        // the next removal is as far away as it is long.
        if by_inbox.len() == by_inbox.capacity() {
            by_inbox.retain(|_, caller| caller.strong_count() > 0);
            let room = 2 * by_inbox.len().max(MIN_CALLERS);
            by_inbox.shrink_to(room);
            let missing = room - by_inbox.len();
            by_inbox.reserve(missing);
        }
        let caller = Arc::new(Caller {
            streams: ConcurrencyLimit::new(self.max_streams),
            memory: self.memory.share(share_of(self.memory.limit())),
        });
        by_inbox.insert(inbox.into(), Arc::downgrade(&caller));
        caller
    }
}

/// Returns the part of a limit that one caller may take.
fn share_of(limit: usize) -> usize {
    limit - limit / KEPT_FOR_OTHERS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::check_linear;

    #[test]
    fn a_caller_is_known_by_its_inbox_as_long_as_it_takes_anything() {
        let callers = Callers::new(16, 800);
        let first = callers.of_reply("_INBOX.a.1");
        let held = first.memory.try_take(700).unwrap();
        let again = callers.of_reply("_INBOX.a.2");
        assert!(Arc::ptr_eq(&first, &again));
        assert!(again.memory.try_take(1).is_none());
        assert!(
            callers
                .of_reply("_INBOX.b.1")
                .memory
                .try_take(100)
                .is_some()
        );
        drop((first, again, held));
        assert_eq!(callers.of_reply("_INBOX.a.3").memory.used(), 0);
    }

    #[test]
    fn callers_that_come_and_go_beside_many_others_cost_little() {
        let one_each = |size: usize| {
            let callers = Callers::new(size, size);
            let living = (0..size).map(|number| callers.of_reply(&format!("_INBOX.l{number}.1")));
            let living = living.collect::<Vec<_>>();
            (callers, living)
        };
        check_linear(2_000, one_each, |(callers, living)| {
            for number in 0..living.len() {
                callers.of_reply(&format!("_INBOX.{number}.1"));
            }
        });
    }

    #[test]
    fn small_limits_are_not_shared() {
        for limit in [0, 1, 7] {
            assert_eq!(share_of(limit), limit);
        }
        assert_eq!(share_of(8), 7);
        assert_eq!(share_of(usize::MAX), usize::MAX - usize::MAX / 8);
    }

    #[test]
    fn names_of_callers_that_have_gone_are_not_kept() {
        let callers = Callers::new(16, 800);
        for number in 0..100_000 {
            callers.of_reply(&format!("_INBOX.{number}.1"));
        }
        assert!(lock(&callers.by_inbox).capacity() < 1000);
    }
}
