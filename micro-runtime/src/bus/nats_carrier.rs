//! `NatsCarrier`: a connection to NATS with its tasks, and the end of both.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::bus::connection_state::ConnectionState;
use crate::bus::link::{CurrentLink, Link};
use crate::bus::outbox::Outbox;
use crate::bus::served_services::ServedServices;
use crate::bus::unconfirmed_calls::UnconfirmedCalls;

/// Maximum time in which a connection that nobody holds any more sends what was published.
const SENDING_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to NATS, which is made anew when it is lost, and the tasks that belong to it.
pub(super) struct NatsCarrier {
    pub(super) current: Arc<CurrentLink>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) services: Arc<ServedServices>,
    pub(super) unconfirmed: Arc<UnconfirmedCalls>,
    pub(super) life: Arc<CarrierLife>,
}

/// What ends with a carrier: its link, the task that makes the links, that of the outbox, and that of the calls whose
/// requests are held up.
pub(super) struct CarrierLife {
    pub(super) current: Arc<CurrentLink>,
    pub(super) tasks: [AbortHandle; 3],
}

impl CarrierLife {
    /// Ends everything at once.
    pub(super) fn end(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.current.clear(ConnectionState::Closed);
    }
}

impl Drop for CarrierLife {
    fn drop(&mut self) {
        self.end();
    }
}

/// Nobody calls or serves any more, but what was published is sent all the same, and calls that were dropped are
/// canceled.
impl Drop for NatsCarrier {
    fn drop(&mut self) {
        if let (Some(link), Ok(runtime)) = (self.current.get(), Handle::try_current()) {
            let (life, outbox) = (Arc::clone(&self.life), Arc::clone(&self.outbox));
            runtime.spawn(async move {
                let sending = send_everything(&outbox, &link);
                let sending = tokio::time::timeout(SENDING_TIMEOUT, sending);
                let _ = link.lost().run_until_cancelled(sending).await;
                life.end();
            });
        }
    }
}

/// Returns once NATS has everything that was handed over. Written to the socket is not enough: where something that
/// NATS has sent is not read, the end of the connection takes along what NATS has not read.
async fn send_everything(outbox: &Outbox, link: &Link) {
    outbox.emptied().await;
    let _ = link.client().flush().await;
    link.confirmed().await;
}
