//! Dispatch: takes requests off subscriptions, runs handlers, and answers every request once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::Message;
use tokio::sync::{mpsc, watch};

use crate::bus::Subscription;
use crate::dispatch::broadcast::All;
use crate::dispatch::event_loop;
use crate::dispatch::instance::Instance;
use crate::dispatch::introspection::{Ask, Desk};
use crate::dispatch::phase::{Phase, Stopped};
use crate::dispatch::served_method::ServedMethod;
use crate::event::EventTarget;

/// What a subscription's requests are for.
pub(crate) enum Target {
    Endpoint(Arc<ServedMethod>),
    Instance(Instance),
    All(All),
    Desk(Arc<Desk>, Ask),
    Events(EventTarget),
}

/// Reads one subscription until it is closed; says on `stopped` that it has stopped, once.
pub(crate) async fn run(
    mut subscription: Subscription,
    target: Target,
    mut phase: watch::Receiver<Phase>,
    stopped: mpsc::UnboundedSender<()>,
) {
    let mut stopped = Stopped(Some(stopped));
    let target = match target {
        Target::Events(target) => {
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
                (Phase::Stopping, Target::Instance(instance)) => {
                    instance.is_stopping.store(true, Ordering::Relaxed);
                    stopped.say();
                }
                (Phase::Stopping, _) => {
                    subscription.stop().await;
                    stopped.say();
                }
                (Phase::Closing, Target::Instance(_)) => {}
                (Phase::Closing, _) | (Phase::Ended, Target::Instance(_)) => {
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

impl Target {
    async fn dispatch(&self, message: Message) {
        match self {
            Self::Endpoint(endpoint) => endpoint.dispatch(message).await,
            Self::Instance(instance) => instance.dispatch(message).await,
            Self::All(all) => all.dispatch(message).await,
            Self::Desk(desk, ask) => desk.dispatch(*ask, message).await,
            // They have a loop of their own.
            Self::Events(_) => {}
        }
    }
}
