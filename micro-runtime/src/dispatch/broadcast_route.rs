//! `BroadcastRoute`: calls to all instances at once.

use std::sync::Arc;

use async_nats::Message;

use crate::descriptor::{MethodKind, ServiceDescriptor};
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
    pub(super) fn dispatch(&self, message: Message) -> Option<PendingReply<'_>> {
        let name = self.address.base.broadcast_target(&message.subject);
        let name = name.unwrap_or_default();
        if name == CANCEL {
            // Never replied to, also where its sender asks for that.
            self.server.cancellations.cancel(&message.payload);
            return None;
        }
        let is_called = |method: &&Arc<ServedMethod>| {
            method.descriptor.name == name && method.descriptor.kind == MethodKind::Unary
        };
        let method = self.methods.iter().find(is_called);
        let is_stream = continues_as_stream(message.headers.as_ref());
        if let Some(method) = method.filter(|_| !is_stream) {
            return method.dispatch_as(message, Some(&self.responder));
        }
        let service = self.service.full_name;
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
}
