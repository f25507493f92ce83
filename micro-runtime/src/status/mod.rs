//! Failure of a call: code, message, reason of the runtime, and details for programs.

mod code;
pub mod details;
mod from;
mod reason;
mod report;
mod status;

pub use code::Code;
pub use reason::Reason;
pub use status::Status;
