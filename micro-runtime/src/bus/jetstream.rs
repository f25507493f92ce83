//! Access to the JetStream of a connection, made on first use.

use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore};

use crate::bus::bus::Bus;
use crate::bus::connection::Connection;
use crate::bus::declared_streams::DeclaredStreams;
use crate::bus::jetstream_state::JetStream;
use crate::bus::subject_claims::SubjectClaims;
use crate::error::{Error, ErrorKind};
use crate::status::{Reason, Status};

/// Maximum number of events that one connection has published durably and that are not acknowledged yet.
/// Further ones wait: each is kept in memory until then, as it may have to be sent again.
const MAX_IN_FLIGHT: usize = 4096;
/// Message of the error on a bus inside one process, which has no JetStream.
const IN_PROCESS: &str = "durable events need JetStream, which this bus inside one process does not have; use `Bus::connect`";

impl Bus {
    /// Returns the subjects of calls and streams of this bus, which must not overlap.
    pub(crate) fn subject_claims(&self) -> &SubjectClaims {
        &self.calling().jetstream.claims
    }
}

impl Connection {
    /// Returns the connection's JetStream; `None` inside one process.
    fn jetstream(&self) -> Option<&JetStream> {
        if self.is_in_process() {
            return None;
        }
        Some(self.jetstream.jetstream.get_or_init(|| JetStream {
            in_flight: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            declared: DeclaredStreams::default(),
            looking_up: Mutex::default(),
        }))
    }

    /// Returns the connection's JetStream, for starting and declaring, which fail with an [`Error`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`] inside one process.
    pub(crate) fn jetstream_or_error(&self) -> Result<&JetStream, Error> {
        self.jetstream()
            .ok_or_else(|| Error::new(ErrorKind::JetStream, IN_PROCESS))
    }

    /// Returns the connection's JetStream, for publishing and replaying, which fail with a [`Status`].
    ///
    /// # Errors
    ///
    /// [`Reason::NoJetStream`] inside one process.
    pub(crate) fn jetstream_or_status(&self) -> Result<&JetStream, Status> {
        self.jetstream()
            .ok_or_else(|| Reason::NoJetStream.status(IN_PROCESS))
    }
}
