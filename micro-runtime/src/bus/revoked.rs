//! `Refusals::name_groups`: which subscription NATS has revoked, where it does not state the queue group.

use std::borrow::Cow;

use crate::bus::refusal::Refusal;
use crate::bus::refusals::Refusals;

impl Refusals {
    /// Returns these refusals, with the queue group of each subscription that was revoked: none where the connection
    /// has no group on its subject. Otherwise NATS is asked about every subscription, and names the group of those that
    /// it refuses.
    pub(super) fn name_groups<'a>(&self, refusals: &'a [Refusal]) -> Cow<'a, [Refusal]> {
        let is_nameless = |refusal: &Refusal| matches!(refusal, Refusal::Revoked(_));
        if !refusals.iter().any(is_nameless) {
            return Cow::Borrowed(refusals);
        }
        let named = refusals.iter().map(|refusal| match refusal {
            Refusal::Revoked(subject) if !self.subscriptions().has_group(subject) => {
                Refusal::Subscription {
                    subject: subject.clone(),
                    queue: None,
                }
            }
            refusal => refusal.clone(),
        });
        let named = named.collect::<Vec<_>>();
        if named.iter().any(is_nameless) {
            self.suspect_loss();
        }
        Cow::Owned(named)
    }
}
