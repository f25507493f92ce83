//! Dispatch: takes requests off subscriptions, runs handlers, and answers every request once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::Message;
use tokio::sync::{mpsc, watch};

use crate::bus::CarrierSubscription;
use crate::dispatch::broadcast::BroadcastRoute;
use crate::dispatch::event_loop;
use crate::dispatch::instance::InstanceRoute;
use crate::dispatch::introspection::{Introspection, IntrospectionQuery};
use crate::dispatch::phase::{Phase, Stopped};
use crate::dispatch::served_method::ServedMethod;
use crate::event::EventTarget;

/// What a subscription's requests are for.
pub(crate) enum Route {
    Method(Arc<ServedMethod>),
    Instance(InstanceRoute),
    Broadcast(BroadcastRoute),
    Introspection(Arc<Introspection>, IntrospectionQuery),
    Events(EventTarget),
}

/// Reads one subscription until it is closed; says on `stopped` that it has stopped, once.
pub(crate) async fn run(
    mut subscription: CarrierSubscription,
    target: Route,
    mut phase: watch::Receiver<Phase>,
    stopped: mpsc::UnboundedSender<()>,
) {
    let mut stopped = Stopped(Some(stopped));
    let target = match target {
        Route::Events(target) => {
            return event_loop::run(subscription, target, phase, stopped).await;
        }
        target => target,
    };
    let mut current = Phase::Serving;
    loop {
        // Looked at before every message: a loop that is never idle does not come to `changed`.
        let next = *phase.borrow();
        if next != current {
            current = next;
            match (next, &target) {
                (Phase::Stopping, Route::Instance(instance)) => {
                    instance.is_stopping.store(true, Ordering::Relaxed);
                    stopped.say();
                }
                (Phase::Stopping, _) => {
                    subscription.stop().await;
                    stopped.say();
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
                Some(message) => target.dispatch(message).await,
                None => return,
            },
            changed = phase.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

impl Route {
    async fn dispatch(&self, message: Message) {
        match self {
            Self::Method(endpoint) => endpoint.dispatch(message).await,
            Self::Instance(instance) => instance.dispatch(message).await,
            Self::Broadcast(all) => all.dispatch(message).await,
            Self::Introspection(desk, ask) => desk.dispatch(*ask, message).await,
            // They have a loop of their own.
            Self::Events(_) => {}
        }
    }
}
