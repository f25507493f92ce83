//! `CloseLinks`: the end of the task that makes links.

use std::sync::Arc;

use crate::bus::connection_state::ConnectionState;
use crate::bus::link::current_link::CurrentLink;
use crate::bus::mux::Mux;
use crate::bus::refusals::Refusals;
use crate::status::Reason;

/// Closes everything when the task that makes the links ends: no call may wait for a reply that cannot arrive.
pub(super) struct CloseLinks {
    pub(super) current: Arc<CurrentLink>,
    pub(super) mux: Arc<Mux>,
    pub(super) refusals: Arc<Refusals>,
}

impl Drop for CloseLinks {
    fn drop(&mut self) {
        tracing::debug!("the connection to NATS is closed");
        self.current.clear(ConnectionState::Closed);
        let text = "the connection to NATS is closed: the tokio runtime in which the bus was made has ended, or its last bus was dropped";
        self.mux.close(&Reason::Disconnected.status(text));
        self.refusals.subscriptions().close();
    }
}
