//! `ServerStop`: what one end of a stream knows of a stop of the server. Pure.

/// Whether the server of a stream has begun to stop, as one end knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerStop {
    /// It goes on, or is of a library that does not tell.
    None,
    /// At the server: it has begun, and no frame has told the client yet.
    Unannounced,
    /// It has begun.
    Known,
}
