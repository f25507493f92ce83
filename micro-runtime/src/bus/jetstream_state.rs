//! State of JetStream of one connection.

use std::sync::{Arc, OnceLock};

use async_nats::{Client, jetstream};
use tokio::sync::Semaphore;

use crate::bus::subject_claims::SubjectClaims;

/// A connection's part in JetStream.
#[derive(Default)]
pub(super) struct State {
    pub(super) claims: SubjectClaims,
    /// Made when it is first asked for.
    pub(super) jetstream: OnceLock<JetStream>,
}

/// The JetStream of one connection.
pub(crate) struct JetStream {
    pub(crate) client: Client,
    pub(crate) api: jetstream::Context,
    pub(crate) in_flight: Arc<Semaphore>,
}
