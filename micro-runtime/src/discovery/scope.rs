//! The connection and the subject prefix under which instances are asked.

use std::fmt;
use std::sync::Arc;

use crate::bus::Connection;

/// Connection and prefix of the introspection subjects.
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
