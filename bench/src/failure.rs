//! The error that ends a process of the run.

/// A sentence for the user.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;
