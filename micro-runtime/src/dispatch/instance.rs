//! One instance of a service, under its own subjects: calls for it alone, and the frames of streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::Message;

use crate::bus::Outgoing;
use crate::descriptor::ServiceDescriptor;
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::introspection::{Introspection, IntrospectionQuery};
use crate::dispatch::served_method::ServedMethod;
use crate::dispatch::shared::ServerState;
use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::stream::reset_frame;
use crate::wire::subject::InstanceTarget;

/// The methods of one instance, by name.
pub(crate) struct InstanceRoute {
    pub(crate) service: &'static ServiceDescriptor,
    pub(crate) shared: Arc<ServerState>,
    pub(crate) home: Arc<InstanceAddress>,
    pub(crate) endpoints: Vec<Arc<ServedMethod>>,
    /// Calls are refused, while the streams that run go on.
    pub(crate) is_stopping: AtomicBool,
    pub(crate) desk: Arc<Introspection>,
}

impl InstanceRoute {
    pub(super) async fn dispatch(&self, message: Message) {
        let InstanceAddress { base, instance, .. } = &*self.home;
        let name = match base.instance_target(instance, &message.subject) {
            Some(InstanceTarget::Stream(stream)) => {
                return match self.shared.connection.mux().inbound_stream(stream) {
                    Some(sink) => sink.deliver(message),
                    None => self.answer_unknown_stream(message).await,
                };
            }
            Some(InstanceTarget::Schema) => {
                let query = IntrospectionQuery::Schema;
                return self.desk.dispatch(query, message).await;
            }
            Some(InstanceTarget::Health) => {
                let query = IntrospectionQuery::Health;
                return self.desk.dispatch(query, message).await;
            }
            Some(InstanceTarget::Method(name)) => name,
            None => "",
        };
        let status = match self.endpoint(name) {
            Some(_) if self.is_stopping.load(Ordering::Relaxed) => Reason::ShuttingDown
                .status(format!("this instance of {} stops", self.service.full_name)),
            Some(endpoint) => return endpoint.dispatch(message).await,
            None => Reason::NoSuchMethod
                .status(format!("{} has no method `{name}`", self.service.full_name)),
        };
        self.refuse(&message, status).await;
    }

    fn endpoint(&self, name: &str) -> Option<&Arc<ServedMethod>> {
        self.endpoints.iter().find(|e| e.method.name == name)
    }

    async fn refuse(&self, message: &Message, status: Status) {
        let Some(reply) = self.shared.reply_subject(message, self.service.full_name) else {
            return;
        };
        let endpoint = self.endpoints.first();
        let format = endpoint.and_then(|e| e.format(message.headers.as_ref()).ok());
        let format = format.unwrap_or_default();
        self.shared
            .answer_in(&format, None, reply, Err(status), Metadata::new())
            .await;
    }

    /// Ends a stream at its other end that has ended here, or never was.
    async fn answer_unknown_stream(&self, message: Message) {
        if message.status.is_some() || message.reply.is_none() {
            return;
        }
        let Some(subject) = self.shared.reply_subject(&message, self.service.full_name) else {
            return;
        };
        let text = "the server knows no stream of this name";
        let status = Reason::PeerGone.status(text);
        let outgoing = Outgoing::to(subject, reset_frame(&status));
        let _ = self.shared.connection.publish(outgoing).await;
    }
}
