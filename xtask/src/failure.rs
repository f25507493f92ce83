//! The error of a chore.

/// A chore succeeds, or fails with a sentence for the user.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
