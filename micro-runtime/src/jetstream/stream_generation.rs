//! `StreamGeneration`: whether the stream of a consumer is still the one that its deliveries came from.

use std::fmt::Display;

use tokio::sync::watch;

use crate::bus::Connection;

/// Generation of the stream of one consumer, which a new declaration under the same name begins.
///
/// An acknowledgment names stream, consumer and sequence, and JetStream compares nothing else. A stream that is deleted
/// and declared anew counts from 1 again: the late acknowledgment of an old event would settle a new one that no
/// handler has seen. So each delivery has the generation that it came in, and its acknowledgment is sent only in that
/// one.
///
/// # Unverified
///
/// The stream may have changed unseen when its consumer is lost ([`suspend`](Self::suspend)) and when the connection
/// was made anew. Acknowledgments wait then until [`verify`](Self::verify) has compared the time at which the stream
/// was created; no events are requested meanwhile, so that each delivery before belongs to the old generation.
///
/// Leaders do not share a clock. So the times of deliveries are never compared with that of the stream.
pub(super) struct StreamGeneration(watch::Sender<State>);

struct State {
    number: u64,
    /// Time at which the stream was created, as text: it is compared, and no more.
    created: String,
    /// Number of reconnects before which the stream was looked at.
    reconnects: u64,
    is_suspended: bool,
    /// Whether the consumer has ended, and verifies nothing any more.
    is_released: bool,
}

impl StreamGeneration {
    /// Begins with the stream that was created at this time. `reconnects` is the count of the connection before it was
    /// looked up.
    pub(super) fn new(created: impl Display, reconnects: u64) -> Self {
        Self(watch::Sender::new(State {
            number: 1,
            created: created.to_string(),
            reconnects,
            is_suspended: false,
            is_released: false,
        }))
    }

    /// Returns the number of this generation.
    pub(super) fn number(&self) -> u64 {
        self.0.borrow().number
    }

    /// Notes that the consumer is lost.
    pub(super) fn suspend(&self) {
        self.0.send_modify(|state| state.is_suspended = true);
    }

    /// Compares the stream with the one before, both by arguments as those of [`new`](Self::new).
    pub(super) fn verify(&self, created: impl Display, reconnects: u64) {
        let created = created.to_string();
        self.0.send_modify(|state| {
            if state.created != created {
                state.number += 1;
                state.created = created;
            }
            state.reconnects = reconnects;
            state.is_suspended = false;
        });
    }

    /// Ends the waits for a verification: the consumer stops, and looks up nothing any more.
    pub(super) fn release(&self) {
        self.0.send_modify(|state| state.is_released = true);
    }

    /// Returns whether the stream has been looked at since the connection was made anew, and the consumer is not lost.
    pub(super) fn is_verified(&self, connection: &Connection) -> bool {
        self.0.borrow().is_verified(connection)
    }

    /// Returns whether deliveries of the generation with this number may be acknowledged. Waits while that is not
    /// known. Cancel safe.
    pub(super) async fn is_current(&self, number: u64, connection: &Connection) -> bool {
        let mut states = self.0.subscribe();
        let state = states.wait_for(|state| state.is_verified(connection));
        // Never an error: the sender is `self`.
        state.await.is_ok_and(|state| state.number == number)
    }
}

impl State {
    fn is_verified(&self, connection: &Connection) -> bool {
        let is_verified =
            !self.is_suspended && self.reconnects == connection.refusals().reconnect_count();
        self.is_released || is_verified
    }
}
