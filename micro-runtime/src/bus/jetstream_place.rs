//! `JetStreamPlace`: the JetStream that a connection uses.

/// The JetStream that a connection uses.
#[derive(Clone, Debug, Default)]
pub(super) enum JetStreamPlace {
    /// That of the server.
    #[default]
    Own,
    #[cfg(feature = "jetstream")]
    Domain(String),
    /// The one with these first tokens of its API.
    #[cfg(feature = "jetstream")]
    ApiPrefix(String),
}
