//! `BroadcastRoute`: calls to all instances at once.

use std::sync::Arc;

use async_nats::Message;

use crate::descriptor::{MethodKind, ServiceDescriptor};
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::reply::OutgoingReply;
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::server_state::ServerState;
use crate::metadata::Metadata;
use crate::status::Reason;

/// Unary methods under `_i._all.>` of one instance: every instance replies to each call, with its id in
/// the header `Micro-Instance` (docs/PROTOCOL.md, "All instances at once").
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
    /// Streaming methods are left out: a frame does not show which of several servers sent it.
    pub(super) async fn dispatch(&self, message: Message) {
        let name = self.address.base.broadcast_target(&message.subject);
        let name = name.unwrap_or_default();
        let is_called = |method: &&Arc<ServedMethod>| {
            method.descriptor.name == name && method.descriptor.kind == MethodKind::Unary
        };
        if let Some(method) = self.methods.iter().find(is_called) {
            return method.dispatch_as(message, Some(&self.responder)).await;
        }
        let service = self.service.full_name;
        let text = format!("{service} has no unary method `{name}` to call everywhere");
        let status = Reason::NoSuchMethod.status(text);
        if let Some(subject) = self.server.reply_subject(&message, service) {
            let format = ServedMethod::caller_format(&self.methods, message.headers.as_ref());
            let metadata = Metadata::new().signed(Some(&self.responder));
            let reply = OutgoingReply::new(subject, Err(status))
                .in_format(&format)
                .with_metadata(metadata);
            self.server.send_reply(reply).await;
        }
    }
}
