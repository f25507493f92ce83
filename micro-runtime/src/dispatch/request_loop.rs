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

use std::future::poll_fn;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::bus::CarrierSubscription;
use crate::dispatch::event_loop;
use crate::dispatch::phase::Phase;
use crate::dispatch::request_backlog::{RequestBacklog, Turn};
use crate::dispatch::route::Route;
use crate::dispatch::stop_notifier::StopNotifier;

/// Starts the loop of one subscription among `loops`. It sends one `()` on `stopped` when it has unsubscribed.
///
/// The loops borrow from their tasks: an `async fn` has room for its arguments twice, and there are many loops.
pub(crate) fn spawn_loop(
    loops: &mut JoinSet<()>,
    mut subscription: CarrierSubscription,
    route: Route,
    mut phase: watch::Receiver<Phase>,
    stopped: mpsc::UnboundedSender<()>,
) {
    let mut stopped = StopNotifier::new(stopped);
    match route {
        Route::Events(mut events) => loops.spawn(async move {
            event_loop::run(&mut subscription, &mut events, &mut phase, &mut stopped).await;
        }),
        route => loops.spawn(async move {
            run(&mut subscription, &route, &mut phase, &mut stopped).await;
        }),
    };
}

/// Reads one subscription until it is closed, one request after the other.
///
/// A request that arrived is dispatched in every phase: a stop loses none. Requests wait here only as
/// long as a short handler is polled, see [`PollCost`](crate::execute::PollCost), and in a [`RequestBacklog`] then.
async fn run(
    subscription: &mut CarrierSubscription,
    route: &Route,
    phase: &mut watch::Receiver<Phase>,
    stopped: &mut StopNotifier,
) {
    let mut current = Phase::Serving;
    let mut backlog = RequestBacklog::default();
    loop {
        // Read before every message: in a loop that is never idle, `changed` below is never reached.
        let next = *phase.borrow();
        if next != current {
            current = next;
            match (next, route) {
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
        // Within the poll, which so returns a few words and moves no message.
        let dispatched = poll_fn(|cx| {
            backlog.poll_turn(subscription, route, cx).map(|turn| {
                turn.map(|turn| match turn {
                    Turn::Handle(message, arrival) => route.dispatch(message, arrival),
                    Turn::Refuse(message, arrival, why) => route.shed(message, arrival, why),
                })
            })
        });
        tokio::select! {
            biased;
            reply = dispatched => match reply {
                Some(Some(reply)) => backlog.take_while_sending(reply, subscription, route).await,
                Some(None) => {}
                None => return,
            },
            // The server was dropped without a stop.
            changed = phase.changed() => if changed.is_err() {
                return;
            },
        }
    }
}
