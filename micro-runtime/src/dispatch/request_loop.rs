//! The loop of one subscription: takes requests off it, and follows the phases of a stopping server.
//!
//! | phase | loop of an instance | every other loop |
//! |---|---|---|
//! | `Serving` | dispatches | dispatches |
//! | `Stopping` | refuses calls, delivers frames | unsubscribes, dispatches what still arrives |
//! | `Closing` | the same | dispatches what has arrived, and ends |
//! | `Ended` | unsubscribes, and ends | has ended |
//!
//! One loop per subscription, and not one for all, keeps the methods of a service apart: a handler that
//! runs in place and turns out long holds up calls of its own method only, and each loop can run on a
//! core of its own.

use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, watch};

use crate::bus::CarrierSubscription;
use crate::dispatch::event_loop;
use crate::dispatch::phase::Phase;
use crate::dispatch::route::Route;
use crate::dispatch::stop_notifier::StopNotifier;

/// Reads one subscription until it is closed, one request after the other. Sends one `()` on `stopped`
/// when it has unsubscribed.
///
/// A request that arrived is dispatched in every phase: a stop loses none. Requests wait here only as
/// long as a short handler is polled, see [`PollCost`](crate::execute::PollCost).
pub(crate) async fn run(
    mut subscription: CarrierSubscription,
    route: Route,
    mut phase: watch::Receiver<Phase>,
    stopped: mpsc::UnboundedSender<()>,
) {
    let mut stopped = StopNotifier::new(stopped);
    let route = match route {
        Route::Events(target) => {
            return event_loop::run(subscription, target, phase, stopped).await;
        }
        route => route,
    };
    let mut current = Phase::Serving;
    loop {
        // Read before every message: in a loop that is never idle, `changed` below is never reached.
        let next = *phase.borrow();
        if next != current {
            current = next;
            match (next, &route) {
                (Phase::Stopping, Route::Instance(instance)) => {
                    instance.is_stopping.store(true, Ordering::Relaxed);
                    stopped.notify();
                }
                (Phase::Stopping, _) => {
                    subscription.stop().await;
                    stopped.notify();
                }
                (Phase::Closing, Route::Instance(_)) => {}
                (Phase::Closing, _) | (Phase::Ended, Route::Instance(_)) => {
                    subscription.close().await;
                }
                (_, _) => {}
            }
        }
        tokio::select! {
            biased;
            message = subscription.next() => match message {
                Some(message) => route.dispatch(message).await,
                None => return,
            },
            // The server was dropped without a stop.
            changed = phase.changed() => if changed.is_err() {
                return;
            },
        }
    }
}
