//! `BroadcastRoute`: calls to all instances at once.

use std::sync::Arc;

use async_nats::Message;

use crate::descriptor::{MethodKind, ServiceDescriptor};
use crate::dispatch::arrival::Arrival;
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::reply::{OutgoingReply, PendingReply};
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::server_state::ServerState;
use crate::status::Reason;
use crate::wire::header::continues_as_stream;
use crate::wire::subject::CANCEL;

/// Unary methods under `_i._all.>` of one instance: every instance replies to each call, with its id in
/// the header `Micro-Instance` (docs/PROTOCOL.md, ALL-1).
pub(crate) struct BroadcastRoute {
    pub(crate) service: &'static ServiceDescriptor,
    pub(crate) server: Arc<ServerState>,
    pub(crate) address: Arc<InstanceAddress>,
    /// Id of this instance as its replies carry it. It is the address's, shared with each call.
    pub(crate) responder: Arc<str>,
    pub(crate) methods: Vec<Arc<ServedMethod>>,
}

impl BroadcastRoute {
    /// Dispatches a call of a unary method, or replies that there is none, in the caller's format and with the
    /// id of this instance: a caller that gathers replies must see that this instance has none to give.
    ///
    /// Streams are left out, of streaming methods and of unary ones (a request in parts): a frame does not show which
    /// of several servers sent it.
    pub(super) fn dispatch(&self, message: Message, arrival: Arrival) -> Option<PendingReply<'_>> {
        let message = self.take_cancellation(message)?;
        let is_stream = continues_as_stream(message.headers.as_ref());
        let method = self.called_method(&message);
        if let Some(method) = method.filter(|_| !is_stream) {
            return method.dispatch_as(message, arrival, Some(&self.responder));
        }
        let service = self.service.full_name;
        let name = self.target(&message);
        if self.address.drops.is_of_nats(&message) {
            return None;
        }
        let text = match method {
            Some(_) => format!("{service} opens no stream of `{name}` that is called everywhere"),
            None => format!("{service} has no unary method `{name}` to call everywhere"),
        };
        let status = Reason::NoSuchMethod.status(text);
        let subject = self.server.reply_subject(&message, &self.address.drops)?;
        let format = ServedMethod::caller_format(&self.methods, message.headers.as_ref());
        Some(Box::pin(async move {
            let reply = OutgoingReply::new(subject, Err(status), &self.address.drops)
                .in_format(&format)
                .signed_by(Some(&self.responder));
            self.server.send_reply(reply).await;
        }))
    }

    /// Cancels a call, if the message asks for that; returns any other message. It is never replied to, also where its
    /// sender asks for that.
    pub(super) fn take_cancellation(&self, message: Message) -> Option<Message> {
        if self.target(&message) != CANCEL {
            return Some(message);
        }
        self.server.cancellations.cancel(&message.payload);
        None
    }

    /// Returns the unary method that a message calls.
    pub(super) fn called_method(&self, message: &Message) -> Option<&Arc<ServedMethod>> {
        let name = self.target(message);
        self.methods.iter().find(|method| {
            method.descriptor.name == name && method.descriptor.kind == MethodKind::Unary
        })
    }

    fn target<'a>(&self, message: &'a Message) -> &'a str {
        let target = self.address.base.broadcast_target(&message.subject);
        target.unwrap_or_default()
    }
}
