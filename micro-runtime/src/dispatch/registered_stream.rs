//! `RegisteredStream`: a served stream where its frames arrive, and where they leave.

use std::sync::Arc;

use async_nats::Subject;

use crate::bus::{Connection, FrameSink, InboundStream};
use crate::dispatch::server_state::ServerState;

/// A stream of a server, until it is dropped. The loss of the connection that its frames arrive on ends it, and that of
/// the one that they leave on, which are one by default.
pub(super) struct RegisteredStream {
    _arriving: InboundStream,
    _leaving: Option<InboundStream>,
}

impl ServerState {
    /// Registers a stream under its name in `_up.`; its own frames go to `destination`.
    pub(super) fn register_stream(
        &self,
        name: &str,
        sink: &Arc<dyn FrameSink>,
        destination: &Subject,
    ) -> RegisteredStream {
        let register = |connection: &Arc<Connection>| {
            let mux = connection.mux();
            mux.register_stream(name, Arc::clone(sink), destination.clone())
        };
        let are_separate = !Arc::ptr_eq(&self.serving, &self.replying);
        RegisteredStream {
            _arriving: register(&self.serving),
            _leaving: are_separate.then(|| register(&self.replying)),
        }
    }

    /// Notes where the frames of a stream go from here on.
    pub(super) fn redirect_stream(&self, name: &str, destination: &Subject) {
        for connection in [&self.serving, &self.replying] {
            connection.mux().redirect_stream(name, destination);
        }
    }
}
