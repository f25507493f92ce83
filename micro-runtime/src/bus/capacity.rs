//! Limits of what waits in a connection.

/// Maximum number of messages of one subscription that are not read yet; further ones are lost, which is logged. It is
/// above any burst that a server reads: what exceeds its backlog is refused, and not lost.
pub(super) const SUBSCRIPTION_CAPACITY: usize = 256 * 1024;
