//! The loop of one subscription to events: hands them to their target, and follows the phases of a
//! stopping server.

use std::future::poll_fn;

use tokio::sync::watch;

use crate::bus::CarrierSubscription;
use crate::dispatch::phase::Phase;
use crate::dispatch::stop_notifier::StopNotifier;
use crate::event::EventDispatcher;

/// Reads one subscription until it is closed.
///
/// It differs from the loop of requests in that the dispatcher takes messages off the subscription itself,
/// many in one poll, and so handles short ones in place without an `async` step for each. And there are no
/// replies: what finds no room is dropped and counted by the dispatcher, which never waits for a handler.
///
/// The loop follows the phases of the server, as the request loops do:
///
/// - `Stopping`: it unsubscribes, and handles the events that NATS had sent before.
/// - `Closing`: all of them have arrived. While serving, a dispatcher with one queue waits for workers that are
///   about to start, so that short handlers run in place again; now it no longer does. It runs an event in place
///   if a worker is idle and queues it otherwise, and the loop returns at the end of the subscription; the
///   workers finish their queues.
/// - `Ended`: the loop has returned by then. Only the loops of instances wait for this phase.
pub(super) async fn run(
    subscription: &mut CarrierSubscription,
    events: &mut EventDispatcher,
    phase: &mut watch::Receiver<Phase>,
    stopped: &mut StopNotifier,
) {
    let mut current = Phase::Serving;
    loop {
        // Read between polls of the dispatcher: in a loop that is never idle, `changed` below is never
        // reached.
        let next = *phase.borrow();
        if next != current {
            current = next;
            match next {
                Phase::Stopping => {
                    subscription.stop().await;
                    stopped.notify();
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
            is_open = poll_fn(|cx| events.poll_dispatch(subscription, cx)) => if !is_open {
                return;
            },
            // The server was dropped without a stop.
            changed = phase.changed() => if changed.is_err() {
                return;
            },
        }
    }
}
