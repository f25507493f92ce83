//! `Route`: what the messages of one subscription are for.

use std::sync::Arc;

use async_nats::Message;
use tokio::time::Instant;

use crate::dispatch::arrival::Arrival;
use crate::dispatch::broadcast_route::BroadcastRoute;
use crate::dispatch::burst_refusal::BurstRefusal;
use crate::dispatch::instance_route::InstanceRoute;
use crate::dispatch::introspection::{Introspection, IntrospectionQuery};
use crate::dispatch::reply::PendingReply;
use crate::dispatch::request_backlog::Intake;
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::server_state::ServerState;
use crate::event::EventDispatcher;
use crate::memory_budget::MemoryBudget;

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
    pub(super) fn dispatch(&self, message: Message, arrival: Arrival) -> Option<PendingReply<'_>> {
        match self {
            Self::Method(method) => method.dispatch(message, arrival),
            Self::Instance(instance) => instance.dispatch(message, arrival),
            Self::Broadcast(broadcast) => broadcast.dispatch(message, arrival),
            Self::Introspection(introspection, query) => {
                Some(Box::pin(introspection.dispatch(*query, message)))
            }
            // `event_loop` reads their subscriptions.
            Self::Events(_) => None,
        }
    }

    /// Refuses a request for which the backlog has no room; as [`dispatch`](Self::dispatch).
    pub(super) fn shed(
        &self,
        message: Message,
        arrival: Arrival,
        why: BurstRefusal,
    ) -> Option<PendingReply<'_>> {
        match self {
            Self::Method(method) => method.shed(message, arrival, why, None),
            Self::Instance(instance) => match instance.called_method(&message) {
                Some(method) => method.shed(message, arrival, why, None),
                None => instance.dispatch(message, arrival),
            },
            Self::Broadcast(broadcast) => match broadcast.called_method(&message) {
                Some(method) => method.shed(message, arrival, why, Some(&broadcast.responder)),
                None => broadcast.dispatch(message, arrival),
            },
            Self::Introspection(..) | Self::Events(_) => None,
        }
    }

    fn server(&self) -> Option<&ServerState> {
        match self {
            Self::Method(method) => Some(&method.server),
            Self::Instance(instance) => Some(&instance.server),
            Self::Broadcast(broadcast) => Some(&broadcast.server),
            Self::Introspection(..) | Self::Events(_) => None,
        }
    }
}

impl Intake for Route {
    fn take_at_once(&self, message: Message) -> Option<Message> {
        match self {
            Self::Instance(instance) => instance.take_frame(message),
            Self::Broadcast(broadcast) => broadcast.take_cancellation(message),
            Self::Method(_) | Self::Introspection(..) | Self::Events(_) => Some(message),
        }
    }

    fn is_full(&self) -> bool {
        matches!(self, Self::Method(method) if method.is_full())
    }

    fn memory(&self) -> Option<&Arc<MemoryBudget>> {
        self.server().map(|server| server.callers.memory())
    }

    fn reached_by(&self, now: Instant) -> Instant {
        let server = self.server();
        server.map_or(now, |server| server.requests_reached_by(now))
    }

    fn give_up(&self, message: Message) {
        let method = match self {
            Self::Method(method) => Some(method),
            Self::Instance(instance) => instance.called_method(&message),
            Self::Broadcast(broadcast) => broadcast.called_method(&message),
            Self::Introspection(..) | Self::Events(_) => None,
        };
        if let Some(method) = method {
            method.give_up(&message);
        }
    }
}
