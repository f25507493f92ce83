//! `RefusedCancels`: the services whose calls this user may not cancel.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sync::lock;

/// Subjects of cancellations that NATS has refused on the present link. Nothing more is sent there.
#[derive(Default)]
pub(super) struct RefusedCancels {
    subjects: Mutex<HashSet<String>>,
    /// Whether there are any: all that most cancellations look at.
    has_any: AtomicBool,
}

impl RefusedCancels {
    /// Notes a refusal; returns whether it is the first of this subject.
    pub(super) fn note(&self, subject: &str) -> bool {
        let is_new = lock(&self.subjects).insert(subject.to_owned());
        if is_new {
            self.has_any.store(true, Ordering::Relaxed);
        }
        is_new
    }

    pub(super) fn contains(&self, subject: &str) -> bool {
        self.has_any.load(Ordering::Relaxed) && lock(&self.subjects).contains(subject)
    }

    pub(super) fn forget(&self) {
        self.has_any.store(false, Ordering::Relaxed);
        lock(&self.subjects).clear();
    }
}
