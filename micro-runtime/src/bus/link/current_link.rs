//! `CurrentLink`: the physical connection that messages go through, if there is one, and the states of the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::watch;

use crate::bus::connection_state::ConnectionState;
use crate::bus::link::Link;
use crate::bus::outgoing::PublishError;

/// The current link.
///
/// # Order
///
/// A request takes its reply slot first and reads the link then. The keeper clears the link first and ends every slot
/// then. So a request that finds a link either is ended with it, or goes through it before it is lost; one that finds
/// none fails at once.
pub(in crate::bus) struct CurrentLink {
    link: ArcSwapOption<Link>,
    states: watch::Sender<ConnectionState>,
    /// Of the current link, or of the last one.
    max_payload: AtomicUsize,
}

impl CurrentLink {
    /// Returns the holder of a first link.
    pub(in crate::bus) fn new(link: Arc<Link>) -> Self {
        let max_payload = AtomicUsize::new(link.client().max_payload());
        Self {
            link: ArcSwapOption::from(Some(link)),
            states: watch::Sender::new(ConnectionState::Connected),
            max_payload,
        }
    }

    /// Returns the link for a moment, without counting references. Not across an `await`.
    #[inline]
    pub(in crate::bus) fn peek(&self) -> Guard<Option<Arc<Link>>> {
        self.link.load()
    }

    /// Returns the link, for as long as it is needed.
    pub(in crate::bus) fn get(&self) -> Option<Arc<Link>> {
        self.link.load_full()
    }

    /// Returns why there is no link.
    #[cold]
    pub(in crate::bus) fn absence(&self) -> PublishError {
        match *self.states.borrow() {
            ConnectionState::Closed => PublishError::Closed,
            ConnectionState::Connected | ConnectionState::Disconnected => {
                PublishError::Disconnected
            }
        }
    }

    pub(in crate::bus) fn max_payload(&self) -> usize {
        self.max_payload.load(Ordering::Relaxed)
    }

    pub(in crate::bus) fn state(&self) -> ConnectionState {
        *self.states.borrow()
    }

    pub(in crate::bus) fn states(&self) -> watch::Receiver<ConnectionState> {
        self.states.subscribe()
    }

    /// Sends further messages through this link.
    pub(super) fn set(&self, link: Arc<Link>) {
        self.max_payload
            .store(link.client().max_payload(), Ordering::Relaxed);
        self.link.store(Some(link));
        self.states.send_if_modified(|state| {
            std::mem::replace(state, ConnectionState::Connected) != ConnectionState::Connected
        });
    }

    /// Sends nothing further if this is still the current link, which is lost, while another one is about to take over.
    /// Returns whether it was.
    pub(super) fn lose(&self, link: &Arc<Link>) -> bool {
        let is_current = self
            .peek()
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, link));
        if is_current {
            self.clear(ConnectionState::Disconnected);
        }
        is_current
    }

    /// Sends nothing further: the connection is lost, or closed for good.
    pub(in crate::bus) fn clear(&self, state: ConnectionState) {
        self.link.store(None);
        self.states.send_replace(state);
    }
}
