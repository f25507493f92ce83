//! The result of everything that a part does.

/// Result whose error ends a part with a message for the user who started it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
