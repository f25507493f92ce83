//! `BegunMoves`: the moves of open subscriptions to another link.

use std::sync::Arc;

use async_nats::{Subject, Subscriber};

use crate::bus::moves::SubscriptionMove;
use crate::bus::open_subscriptions::{OpenSubscription, OpenSubscriptions};
use crate::error::Error;

/// Moves of subscriptions that have begun. Dropping them ends them.
pub(super) struct BegunMoves(Vec<BegunMove>);

struct BegunMove {
    subscription: Arc<OpenSubscription>,
    shared: Arc<SubscriptionMove>,
}

impl BegunMoves {
    /// Begins to move every subscription that was made on another link than the one of this number.
    pub(super) fn begin(open: &OpenSubscriptions, link: u64) -> Self {
        let others = open.of_other_links(link).into_iter();
        let moves = others.map(|subscription| BegunMove {
            shared: subscription.begin_move(),
            subscription,
        });
        Self(moves.collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes the subscriptions by `subscribe` on the link of this number.
    ///
    /// # Errors
    ///
    /// Those of `subscribe`.
    pub(super) async fn subscribe<F>(
        &self,
        link: u64,
        subscribe: impl Fn(Subject, Option<Box<str>>) -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<Subscriber, Error>>,
    {
        for BegunMove {
            subscription,
            shared,
        } in &self.0
        {
            if subscription.is_open() {
                let (subject, queue) = (subscription.subject(), subscription.queue());
                let subscribing = subscribe(subject.clone(), queue.map(Box::from));
                shared.subscribed(subscribing.await?);
                subscription.note_link(link);
            }
        }
        Ok(())
    }

    /// Gives the moves up: every reader goes on with the link of this number, on which the subscriptions were made
    /// before.
    pub(super) fn abort(self, link: u64) {
        for one in &self.0 {
            one.subscription.note_link(link);
            one.shared.abort();
        }
    }

    /// Returns once every reader has ended its subscription on the old link. Cancel safe.
    pub(super) async fn leave(&self) {
        self.0.iter().for_each(|one| one.shared.leave());
        for one in &self.0 {
            one.shared.left().await;
        }
    }
}

/// No effect on moves that were given up.
impl Drop for BegunMoves {
    fn drop(&mut self) {
        self.0.iter().for_each(|one| one.shared.end());
    }
}
