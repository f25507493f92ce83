//! `Scope`: connections and subject prefix of the queries of one [`Discovery`](crate::discovery::Discovery).

use std::fmt;
use std::sync::Arc;

use crate::bus::Connection;

/// Connections, and prefix of the subjects, under which instances are asked.
#[derive(Clone)]
pub(crate) struct Scope {
    /// Of queries and the replies to them.
    pub(crate) connection: Arc<Connection>,
    /// Of lifecycle events: any peer that may publish to their subjects chooses what arrives.
    pub(crate) serving: Arc<Connection>,
    /// `$SRV`, or the tokens under which another account's services are imported.
    pub(crate) prefix: String,
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.prefix).finish()
    }
}
