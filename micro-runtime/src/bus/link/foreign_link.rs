//! `watch_foreign`: a link whose client belongs to the user, and connects anew by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;

use crate::bus::connection_state::ConnectionState;
use crate::bus::link::Link;
use crate::bus::link::close_links::CloseLinks;
use crate::bus::link::current_link::CurrentLink;
use crate::bus::link::link_keeper::lost_connection;
use crate::bus::link::link_logs::LinkLogs;
use crate::bus::mux::Mux;
use crate::bus::refusals::Refusals;
use crate::bus::server_version;

/// Interval at which the state of the client is looked at: its events belong to the user.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Follows the state of the client until it is closed, or this is aborted. Everything is closed when it ends, also if
/// it never began.
pub(in crate::bus) fn watch_foreign(
    current: Arc<CurrentLink>,
    link: Arc<Link>,
    mux: Arc<Mux>,
    refusals: Arc<Refusals>,
) -> impl Future<Output = ()> + Send + 'static {
    let close = CloseLinks {
        current,
        mux,
        refusals,
    };
    async move {
        let logs = LinkLogs::default();
        let statistics = link.client().statistics();
        let connects = || statistics.connects.load(Ordering::Relaxed);
        let mut known = connects();
        let mut is_connected = link.client().connection_state() == State::Connected;
        if !is_connected {
            close.current.clear(ConnectionState::Disconnected);
        }
        while link
            .lost()
            .run_until_cancelled(tokio::time::sleep(POLL_INTERVAL))
            .await
            .is_some()
        {
            let now = link.client().connection_state() == State::Connected;
            let was_lost = !is_connected || !now || connects() != known;
            if is_connected && was_lost {
                // Why it was lost is not known.
                close.mux.counts().suspect_cut(0, None);
                close.current.clear(ConnectionState::Disconnected);
                close.mux.fail_all(&lost_connection());
            }
            if now && was_lost {
                known = connects();
                if let Err(error) = server_version::check(link.client()) {
                    logs.old_server(&error);
                }
                close.refusals.begin_link();
                close.current.set(Arc::clone(&link));
                close.refusals.reconnected();
            }
            is_connected = now;
        }
    }
}
