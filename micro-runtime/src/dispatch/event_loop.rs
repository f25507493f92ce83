//! The loop of a subscription to events: handles in place, where that is possible, and waits for none.

use std::future::poll_fn;

use tokio::sync::watch;

use crate::bus::CarrierSubscription;
use crate::dispatch::phase::{Phase, Stopped};
use crate::event::EventTarget;

/// Reads one subscription until it is closed.
pub(super) async fn run(
    mut subscription: CarrierSubscription,
    mut events: EventTarget,
    mut phase: watch::Receiver<Phase>,
    mut stopped: Stopped,
) {
    let mut current = Phase::Serving;
    loop {
        // Looked at in between: a loop that is never idle does not come to `changed`.
        let next = *phase.borrow();
        if next != current {
            current = next;
            match next {
                Phase::Stopping => {
                    subscription.stop().await;
                    stopped.say();
                }
                Phase::Closing => {
                    subscription.close().await;
                    events.close();
                }
                Phase::Serving | Phase::Ended => {}
            }
        }
        tokio::select! {
            biased;
            is_open = poll_fn(|cx| events.poll_take(&mut subscription, cx)) => if !is_open {
                return;
            },
            changed = phase.changed() => if changed.is_err() {
                return;
            },
        }
    }
}
