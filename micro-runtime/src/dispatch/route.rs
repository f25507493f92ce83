//! `Route`: what the messages of one subscription are for.

use std::sync::Arc;

use async_nats::Message;

use crate::dispatch::broadcast_route::BroadcastRoute;
use crate::dispatch::instance_route::InstanceRoute;
use crate::dispatch::introspection::{Introspection, IntrospectionQuery};
use crate::dispatch::reply::PendingReply;
use crate::dispatch::served_method::ServedMethod;
use crate::event::EventDispatcher;

/// Destination of the messages of one subscription.
///
/// Each method has a subscription of its own instead of one wildcard for the service: in a rolling
/// deploy an old instance must not take calls of a method that it does not know (docs/PROTOCOL.md, NAME-3).
/// Subjects of an instance are under a wildcard, since nothing else is sent there.
pub(crate) enum Route {
    /// Calls of one method, shared within a queue group.
    Method(Arc<ServedMethod>),
    /// Calls of one instance, and the frames of its streams.
    Instance(InstanceRoute),
    /// Calls of all instances at once.
    Broadcast(BroadcastRoute),
    /// Queries about one instance.
    Introspection(Arc<Introspection>, IntrospectionQuery),
    /// Events of one kind.
    Events(EventDispatcher),
}

impl Route {
    /// Takes one message to its destination. The handler has returned or goes on in a task of its own once what this
    /// returns, if anything, is ready.
    pub(super) fn dispatch(&self, message: Message) -> Option<PendingReply<'_>> {
        match self {
            Self::Method(method) => method.dispatch(message),
            Self::Instance(instance) => instance.dispatch(message),
            Self::Broadcast(broadcast) => broadcast.dispatch(message),
            Self::Introspection(introspection, query) => {
                Some(Box::pin(introspection.dispatch(*query, message)))
            }
            // `event_loop` reads their subscriptions.
            Self::Events(_) => None,
        }
    }
}
