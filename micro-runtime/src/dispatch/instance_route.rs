//! `InstanceRoute`: the subjects of one instance alone, for calls, queries and the frames of streams.
//!
//! | subject under `_i.<instance>.` | destination |
//! |---|---|
//! | `_up.<stream>` | the stream's channel, in the connection's reply table |
//! | `_schema`, `_health` | the introspection of this instance |
//! | the name of a method | admission, as a call on the method's own subject |
//! | anything else | `UNIMPLEMENTED` |
//!
//! A request here has exactly one receiver, so that silence would look like a lost message: unlike on a
//! method's own subject, a request for an unknown method gets a reply, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::Message;

use crate::bus::Outgoing;
use crate::descriptor::ServiceDescriptor;
use crate::dispatch::arrival::Arrival;
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::introspection::{Introspection, IntrospectionQuery};
use crate::dispatch::reply::{OutgoingReply, PendingReply};
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::server_state::ServerState;
use crate::status::{Reason, Status};
use crate::stream::reset_frame;
use crate::wire::FrameMark;
use crate::wire::subject::InstanceTarget;

/// Destinations under `_i.<instance>.>` of one instance.
pub(crate) struct InstanceRoute {
    pub(crate) service: &'static ServiceDescriptor,
    pub(crate) server: Arc<ServerState>,
    pub(crate) address: Arc<InstanceAddress>,
    pub(crate) methods: Vec<Arc<ServedMethod>>,
    /// Set while the server stops. This subscription outlives the others by the streams that still run,
    /// and calls that come meanwhile must not join them.
    pub(crate) is_stopping: AtomicBool,
    pub(crate) introspection: Arc<Introspection>,
}

impl InstanceRoute {
    /// Delivers a frame to its stream, or dispatches a call or a query.
    ///
    /// A frame is handed over without waiting, so that a slow stream holds up neither the other streams
    /// of the instance nor its calls.
    pub(super) fn dispatch(&self, message: Message, arrival: Arrival) -> Option<PendingReply<'_>> {
        let message = self.take_frame(message)?;
        let name = match self.target(&message) {
            Some(InstanceTarget::Stream(stream)) => {
                // Another server with the id of this instance may have opened it.
                let is_own = self.address.has_opened(stream);
                return match is_own {
                    true => Some(Box::pin(self.reset_unknown_stream(message))),
                    false => None,
                };
            }
            Some(InstanceTarget::Schema) => {
                let query = IntrospectionQuery::Schema;
                return Some(Box::pin(self.introspection.dispatch(query, message)));
            }
            Some(InstanceTarget::Health) => {
                let query = IntrospectionQuery::Health;
                return Some(Box::pin(self.introspection.dispatch(query, message)));
            }
            Some(InstanceTarget::Method(name)) => name,
            None => "",
        };
        let status = match self.method(name) {
            Some(_) if self.is_stopping.load(Ordering::Relaxed) => Reason::ShuttingDown
                .status(format!("this instance of {} stops", self.service.full_name)),
            Some(method) => return method.dispatch(message, arrival),
            None => Reason::NoSuchMethod
                .status(format!("{} has no method `{name}`", self.service.full_name)),
        };
        Some(Box::pin(self.refuse(message, status)))
    }

    /// Delivers the frame of a stream that is open here; returns any other message.
    pub(super) fn take_frame(&self, message: Message) -> Option<Message> {
        if let Some(InstanceTarget::Stream(stream)) = self.target(&message)
            && let Some(sink) = self.server.serving.mux().inbound_stream(stream)
        {
            sink.deliver(message);
            return None;
        }
        Some(message)
    }

    /// Returns the method that a message calls.
    pub(super) fn called_method(&self, message: &Message) -> Option<&Arc<ServedMethod>> {
        match self.target(message) {
            Some(InstanceTarget::Method(name)) => self.method(name),
            _ => None,
        }
    }

    fn target<'a>(&self, message: &'a Message) -> Option<InstanceTarget<'a>> {
        let InstanceAddress { base, instance, .. } = &*self.address;
        base.instance_target(instance, &message.subject)
    }

    fn method(&self, name: &str) -> Option<&Arc<ServedMethod>> {
        self.methods.iter().find(|m| m.descriptor.name == name)
    }

    /// Replies with a failure, in the caller's format where that is served. The failure is not counted: it
    /// is of no method.
    async fn refuse(&self, message: Message, status: Status) {
        if self.address.drops.is_of_nats(&message) {
            return;
        }
        let Some(subject) = self.server.reply_subject(&message, &self.address.drops) else {
            return;
        };
        let format = ServedMethod::caller_format(&self.methods, message.headers.as_ref());
        let reply =
            OutgoingReply::new(subject, Err(status), &self.address.drops).in_format(&format);
        self.server.send_reply(reply).await;
    }

    /// Sends RESET for a frame of a stream that has ended here (docs/PROTOCOL.md, END-6).
    /// Frames without a reply subject get none: their sender does not ask whether the stream is still there,
    /// and one reply for each would double the traffic of a client that sends on. Nor do messages with the mark of a
    /// server: two servers would reply to each other without end.
    async fn reset_unknown_stream(&self, message: Message) {
        let is_of_server = FrameMark::OfServer.begins(&message.payload);
        if message.status.is_some() || message.reply.is_none() || is_of_server {
            return;
        }
        let Some(subject) = self.server.reply_subject(&message, &self.address.drops) else {
            return;
        };
        let status = self.server.unsent_replies.failure_of_stream(&subject);
        let outgoing = Outgoing::to(subject, reset_frame(FrameMark::OfServer, &status));
        let _ = self.server.leaving().publish(outgoing).await;
    }
}
