//! What JetStream needs of a connection: its API, and a bound for what waits to be acknowledged.

use std::sync::Arc;

use async_nats::jetstream;
use tokio::sync::Semaphore;

use crate::bus::connection::{Carrier, Connection};
use crate::bus::jetstream_state::JetStream;
use crate::bus::subject_claims::SubjectClaims;
use crate::error::{Error, ErrorKind};
use crate::status::{Reason, Status};

/// How many events of one connection may wait for their acknowledgment at a time.
const MAX_IN_FLIGHT: usize = 4096;
const IN_PROCESS: &str = "durable events need JetStream, which this bus inside one process does not have; use `Bus::connect`";

impl Connection {
    /// Who may have which subjects.
    pub(crate) fn subject_claims(&self) -> &SubjectClaims {
        &self.jetstream.claims
    }

    /// The connection's JetStream; `None` inside one process.
    fn jetstream(&self) -> Option<&JetStream> {
        let Carrier::Nats(nats) = &self.carrier else {
            return None;
        };
        Some(self.jetstream.jetstream.get_or_init(|| JetStream {
            client: nats.client.clone(),
            api: jetstream::new(nats.client.clone()),
            in_flight: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
        }))
    }

    /// For what is declared and started.
    pub(crate) fn jetstream_or_error(&self) -> Result<&JetStream, Error> {
        self.jetstream()
            .ok_or_else(|| Error::new(ErrorKind::JetStream, IN_PROCESS))
    }

    /// For what is published and read.
    pub(crate) fn jetstream_or_status(&self) -> Result<&JetStream, Status> {
        self.jetstream()
            .ok_or_else(|| Reason::NoJetStream.status(IN_PROCESS))
    }
}
