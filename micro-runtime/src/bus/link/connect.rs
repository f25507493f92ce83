//! `connect_once`: one physical connection to one server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, ReconnectToServer, ServerAddr,
};

use crate::bus::link::backoff::ConnectFailure;
use crate::bus::link::link_events::LinkEvents;

/// Maximum time of one server in timeouts: its name is resolved without one, and each of its addresses has its own.
const MAX_TIMEOUTS: u32 = 4;

/// Connects to one server, at each of its addresses in turn. The client never connects again: once the connection is
/// lost, its subscriptions end, and whatever it has not sent is gone.
///
/// async-nats has no option for that: zero `max_reconnects` means for ever, and one means a further attempt. That
/// attempt goes to an address at which nothing can listen, and the client gives up.
pub(super) async fn connect_once(
    options: ConnectOptions,
    server: &ServerAddr,
    timeout: Duration,
    events: &Arc<LinkEvents>,
) -> Result<Client, ConnectError> {
    let nowhere = nowhere();
    let was_tried = Arc::new(AtomicBool::new(false));
    let choose = {
        let (server, nowhere) = (server.clone(), nowhere.clone());
        move |_, _| {
            let addr = match was_tried.swap(true, Ordering::Relaxed) {
                false => server.clone(),
                true => nowhere.clone(),
            };
            let delay = Some(Duration::ZERO);
            std::future::ready(Some(ReconnectToServer { addr, delay }))
        }
    };
    let events = Arc::clone(events);
    let connecting = options
        .connection_timeout(timeout)
        .max_reconnects(1)
        .ignore_discovered_servers()
        .reconnect_to_server_callback(choose)
        .event_callback(move |event| {
            events.on_event(&event);
            std::future::ready(())
        })
        .connect(vec![server.clone(), nowhere]);
    let connected = tokio::time::timeout(timeout * MAX_TIMEOUTS, connecting).await;
    connected.unwrap_or_else(|_| Err(ConnectErrorKind::TimedOut.into()))
}

/// Returns an address at which nothing listens: no program can bind port 0.
fn nowhere() -> ServerAddr {
    "nats://127.0.0.1:0".parse().expect("a literal address")
}

/// Returns how hopeful the next attempt is after this error.
pub(super) fn failure(error: &ConnectError) -> ConnectFailure {
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            ConnectFailure::Login
        }
        ConnectErrorKind::Io => ConnectFailure::Refused,
        _ => ConnectFailure::Away,
    }
}
