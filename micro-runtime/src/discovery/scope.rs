//! `Scope`: connection and subject prefix of the queries of one [`Discovery`](crate::discovery::Discovery).

use std::fmt;
use std::sync::Arc;

use crate::bus::Connection;

/// Connection, and prefix of the subjects, under which instances are asked.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) connection: Arc<Connection>,
    /// `$SRV`, or the tokens under which another account's services are imported.
    pub(crate) prefix: String,
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.prefix).finish()
    }
}
