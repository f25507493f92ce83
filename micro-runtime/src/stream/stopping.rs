//! A stop of the server of a stream: the server tells its client, whose application can wait for it.

use std::sync::Arc;

use crate::stream::channel::Channel;
use crate::stream::machine::Machine;
use crate::stream::server_stop::ServerStop;

impl Machine {
    /// Tells the client that this server has begun to stop (docs/PROTOCOL.md, STREAM-16). The stream goes on.
    pub(super) fn announce_stop(&mut self) {
        if self.server_stop == ServerStop::None {
            self.server_stop = ServerStop::Unannounced;
        }
    }

    /// Returns whether the server has begun to stop, as far as this end knows.
    pub(super) fn is_stopping(&self) -> bool {
        self.server_stop != ServerStop::None
    }
}

impl Channel {
    /// Tells the client that this server has begun to stop.
    pub(crate) fn announce_stop(&self) {
        self.update(Machine::announce_stop);
    }

    /// Returns whether the server has begun to stop, as far as this end knows.
    pub(crate) fn is_stopping(&self) -> bool {
        self.inspect(Machine::is_stopping)
    }

    /// Returns a future that completes once the server has begun to stop; never if the stream ends before.
    pub(crate) async fn stopping(self: Arc<Self>) {
        self.reached(Machine::is_stopping).await;
    }
}
