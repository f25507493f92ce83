//! Conversions into `Status`: the errors on which a handler may use `?`.
//!
//! Each error has the code that fits its usual cause in a handler. An error of the user's own converts with an
//! `impl From<MyError> for Status`, which chooses the code there.

use std::error::Error as StdError;
use std::io;

use crate::error::{BoxError, Error, ErrorKind};
use crate::status::code::Code;
use crate::status::status::Status;

/// Makes a status with the text of `error`, which goes to the caller, and the error as source, which does not.
fn status(code: Code, error: impl StdError + Send + Sync + 'static) -> Status {
    Status::new(code, error.to_string()).with_source(error)
}

macro_rules! from {
    ($($code:ident: $($error:ty)*;)*) => {$($(
        impl From<$error> for Status {
            fn from(error: $error) -> Self {
                status(Code::$code, error)
            }
        }
    )*)*};
}

from! {
    InvalidArgument: std::num::ParseIntError std::num::ParseFloatError std::num::TryFromIntError
        std::str::ParseBoolError std::str::Utf8Error std::string::FromUtf8Error
        std::char::ParseCharError std::net::AddrParseError;
    DeadlineExceeded: tokio::time::error::Elapsed;
    Internal: std::fmt::Error prost::DecodeError prost::EncodeError tokio::task::JoinError
        tokio::sync::oneshot::error::RecvError;
    ResourceExhausted: tokio::sync::TryAcquireError;
    Unavailable: tokio::sync::AcquireError;
}

impl From<std::convert::Infallible> for Status {
    fn from(error: std::convert::Infallible) -> Self {
        match error {}
    }
}

impl From<io::Error> for Status {
    fn from(error: io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound => Code::NotFound,
            io::ErrorKind::PermissionDenied => Code::PermissionDenied,
            io::ErrorKind::AlreadyExists => Code::AlreadyExists,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Code::InvalidArgument,
            io::ErrorKind::TimedOut => Code::DeadlineExceeded,
            io::ErrorKind::Interrupted => Code::Aborted,
            io::ErrorKind::Unsupported => Code::Unimplemented,
            io::ErrorKind::OutOfMemory | io::ErrorKind::StorageFull => Code::ResourceExhausted,
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::AddrInUse
            | io::ErrorKind::BrokenPipe => Code::Unavailable,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero => Code::DataLoss,
            _ => Code::Unknown,
        };
        status(code, error)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::Connect | ErrorKind::Timeout => Code::Unavailable,
            ErrorKind::Permission => Code::PermissionDenied,
            ErrorKind::Configuration | ErrorKind::Service => Code::Internal,
            ErrorKind::JetStream => Code::FailedPrecondition,
        };
        status(code, error)
    }
}

/// Converts an error of middleware: a boxed `Status` is unboxed, an `io::Error` is converted as above, and any other
/// becomes `UNKNOWN`.
impl From<BoxError> for Status {
    fn from(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(status) => *status,
            Err(error) => match error.downcast::<io::Error>() {
                Ok(error) => Self::from(*error),
                Err(error) => Self::new(Code::Unknown, error.to_string()).with_boxed_source(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_mark_converts_standard_errors() {
        fn parse(text: &str) -> Result<u8, Status> {
            Ok(text.parse::<u8>()?)
        }
        let status = parse("300").unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.source().is_some());

        fn open() -> Result<(), Status> {
            std::fs::File::open("/nowhere/at/all")?;
            Ok(())
        }
        assert_eq!(open().unwrap_err().code(), Code::NotFound);
    }

    #[test]
    fn a_boxed_status_stays_itself() {
        let boxed: BoxError = Box::new(Status::not_found("x"));
        assert_eq!(Status::from(boxed).code(), Code::NotFound);
        let boxed: BoxError = "some text".into();
        let status = Status::from(boxed);
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unknown, "some text")
        );
    }
}
