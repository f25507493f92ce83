//! `Permission`: a permission of NATS that something on a connection depends on for as long as it lives.

use crate::bus::refusal::Refusal;

/// What a user must be allowed to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Permission {
    Publish(String),
    Subscribe {
        subject: String,
        queue: Option<String>,
    },
}

impl Permission {
    /// Returns the permission to subscribe, as a member of a queue group if `queue` is set.
    pub(super) fn subscribe(subject: &str, queue: Option<&str>) -> Self {
        Self::Subscribe {
            subject: subject.to_owned(),
            queue: queue.map(str::to_owned),
        }
    }

    /// Returns the permission that a refusal denies.
    pub(super) fn of(refusal: &Refusal) -> Option<Self> {
        match refusal {
            Refusal::Publish(subject) => Some(Self::Publish(subject.clone())),
            Refusal::Subscription { subject, queue } => {
                Some(Self::subscribe(subject, queue.as_deref()))
            }
            _ => None,
        }
    }
}
