//! `RefusalWatch`: waits for the first refusal of some kind.

use std::sync::Arc;

use tokio::sync::watch;

use crate::bus::refusal::Refusal;
use crate::bus::refusal_log::Concern;
use crate::bus::refusals::{RefusalObserver, Refusals};

/// Waits for the first refusal of some kind.
pub(crate) struct RefusalWatch {
    first: watch::Receiver<Option<Refusal>>,
    _observer: RefusalObserver,
}

impl Refusals {
    /// Waits from now on for the first refusal that `concerns` holds for, which the caller reports.
    pub(crate) fn watch(
        self: &Arc<Self>,
        concerns: impl Fn(&Refusal) -> bool + Send + Sync + 'static,
    ) -> RefusalWatch {
        self.watch_as(Concern::Reported, concerns)
    }

    /// Waits as [`watch`](Self::watch), for refusals that mean `concern`.
    pub(crate) fn watch_as(
        self: &Arc<Self>,
        concern: Concern,
        concerns: impl Fn(&Refusal) -> bool + Send + Sync + 'static,
    ) -> RefusalWatch {
        let (sender, first) = watch::channel(None);
        let observer = self.observe(move |refusal| {
            if !concerns(refusal) {
                return Concern::None;
            }
            sender.send_if_modified(|first| {
                let is_first = first.is_none();
                first.get_or_insert_with(|| refusal.clone());
                is_first
            });
            concern
        });
        RefusalWatch {
            first,
            _observer: observer,
        }
    }
}

impl RefusalWatch {
    /// Returns the first refusal, if one was passed on.
    pub(crate) fn now(&self) -> Option<Refusal> {
        self.first.borrow().clone()
    }

    /// Waits for the first refusal. Cancel safe.
    pub(crate) async fn refused(&self) -> Refusal {
        let mut first = self.first.clone();
        let first = first.wait_for(Option::is_some).await;
        match first.ok().and_then(|first| first.clone()) {
            Some(refusal) => refusal,
            // Never reached: the observer, which holds the sender, lives as long as this does.
            None => std::future::pending().await,
        }
    }
}
