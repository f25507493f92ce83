//! `PublishUses`: the subjects that parts of a connection publish to outside of the reply slots, and depend on hearing
//! that NATS refuses them.

use std::sync::{Arc, Mutex};

use async_nats::Subject;

use crate::sync::lock;

/// The subjects of one connection, each as often as it is used. Calls and streams are not among them: their reply slots
/// have what they publish to.
#[derive(Default)]
pub(crate) struct PublishUses(Mutex<Vec<Subject>>);

/// Registration of one use of a subject, which ends when this is dropped.
pub(crate) struct PublishUse {
    all: Arc<PublishUses>,
    subject: Subject,
}

impl PublishUses {
    /// Registers a use of a subject.
    pub(super) fn add(self: &Arc<Self>, subject: Subject) -> PublishUse {
        lock(&self.0).push(subject.clone());
        PublishUse {
            all: Arc::clone(self),
            subject,
        }
    }

    /// Returns the subjects that are in use.
    pub(super) fn all(&self) -> Vec<Subject> {
        lock(&self.0).clone()
    }
}

impl Drop for PublishUse {
    fn drop(&mut self) {
        let mut all = lock(&self.all.0);
        if let Some(place) = all.iter().position(|subject| *subject == self.subject) {
            all.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_in_use_until_its_last_use_ends() {
        let all = Arc::new(PublishUses::default());
        let [first, second, other] =
            ["a.b", "a.b", "a.c"].map(|subject| all.add(Subject::from_static(subject)));
        drop(first);
        assert_eq!(all.all().len(), 2);
        assert!(all.all().iter().any(|subject| **subject == *"a.b"));
        drop((second, other));
        assert!(all.all().is_empty());
    }
}
