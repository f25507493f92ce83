//! Calls to all instances at once: every instance answers, and each answer says whose it is.

use std::sync::Arc;

use async_nats::Message;

use crate::descriptor::MethodKind;
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::shared::ServerState;
use crate::metadata::Metadata;
use crate::status::Reason;

/// The unary methods of one instance, as they are called together with those of all others.
pub(crate) struct BroadcastRoute {
    pub(crate) shared: Arc<ServerState>,
    /// The full name of the service.
    pub(crate) service: &'static str,
    pub(crate) home: Arc<InstanceAddress>,
    pub(crate) id: Arc<str>,
    pub(crate) endpoints: Vec<Arc<ServedMethod>>,
}

impl BroadcastRoute {
    pub(super) async fn dispatch(&self, message: Message) {
        let name = self.home.base.broadcast_target(&message.subject);
        let name = name.unwrap_or_default();
        let is_it = |endpoint: &&Arc<ServedMethod>| {
            endpoint.method.name == name && endpoint.method.kind == MethodKind::Unary
        };
        if let Some(endpoint) = self.endpoints.iter().find(is_it) {
            return endpoint.dispatch_as(message, Some(&self.id)).await;
        }
        let text = format!(
            "{} has no unary method `{name}` to call everywhere",
            self.service
        );
        let status = Reason::NoSuchMethod.status(text);
        if let Some(reply) = self.shared.reply_subject(&message, self.service) {
            let metadata = Metadata::new().signed(Some(&self.id));
            self.shared.answer(reply, Err(status), metadata).await;
        }
    }
}
