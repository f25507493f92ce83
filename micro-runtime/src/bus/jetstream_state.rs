//! State that a connection holds for JetStream; apart from `jetstream.rs`, which needs the connection.

use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, Semaphore};

use crate::bus::declared_streams::DeclaredStreams;
use crate::bus::subject_claims::SubjectClaims;

/// State of one connection for JetStream, on either carrier.
#[derive(Default)]
pub(super) struct State {
    pub(super) claims: SubjectClaims,
    /// Made on first use; never inside one process.
    pub(super) jetstream: OnceLock<JetStream>,
}

/// JetStream of one NATS connection.
pub(crate) struct JetStream {
    /// One permit for each event that is published and not acknowledged.
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) declared: DeclaredStreams,
    /// Held while a publisher looks up why its subject has no responders: one look-up at a time is enough for all.
    pub(crate) looking_up: Mutex<()>,
}
