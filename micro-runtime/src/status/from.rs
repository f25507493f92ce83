//! Conversions into `Status`: the errors on which a handler may use `?`.
//!
//! A code is a statement of the service to its caller. An error of the system states nothing of that kind: that a file
//! of the service is missing is no `NOT_FOUND` of its interface, and the text may have paths and addresses. So these
//! errors become `INTERNAL`, or `UNAVAILABLE` where NATS is away, with a text that has nothing of them; they are the
//! source of the status, which stays in this process, and the log shows it. An error of the user's own converts with an
//! `impl From<MyError> for Status`, which chooses code and text there.

use std::error::Error as StdError;
use std::io;

use crate::error::{BoxError, Error, ErrorKind};
use crate::status::code::Code;
use crate::status::status::Status;

/// Text of a failure that is no business of the caller.
const INTERNAL: &str = "an internal error, which the log of the service shows";
/// The same where the service cannot reach something.
const UNAVAILABLE: &str =
    "the service does not reach what it needs for this call; its log shows the cause";

/// Makes a status with the text of `error`, which goes to the caller, and the error as source, which does not.
fn shown(code: Code, error: impl StdError + Send + Sync + 'static) -> Status {
    Status::new(code, error.to_string()).with_source(error)
}

fn internal(error: impl Into<BoxError>) -> Status {
    Status::hiding(Code::Internal, INTERNAL, error.into())
}

macro_rules! shown {
    ($($code:ident: $($error:ty)*;)*) => {$($(
        #[doc = concat!("Becomes [`Code::", stringify!($code), "`] with the text of the error.")]
        impl From<$error> for Status {
            fn from(error: $error) -> Self {
                shown(Code::$code, error)
            }
        }
    )*)*};
}

macro_rules! internal {
    ($($error:ty)*) => {$(
        /// Becomes [`Code::Internal`], and the caller gets nothing of the error: it is the source, which is logged.
        impl From<$error> for Status {
            fn from(error: $error) -> Self {
                internal(error)
            }
        }
    )*};
}

shown! {
    InvalidArgument: std::num::ParseIntError std::num::ParseFloatError std::num::TryFromIntError
        std::str::ParseBoolError std::str::Utf8Error std::string::FromUtf8Error
        std::char::ParseCharError std::net::AddrParseError;
    DeadlineExceeded: tokio::time::error::Elapsed;
    ResourceExhausted: tokio::sync::TryAcquireError;
    Unavailable: tokio::sync::AcquireError;
}

internal! {
    io::Error std::fmt::Error prost::DecodeError prost::EncodeError tokio::task::JoinError
    tokio::sync::oneshot::error::RecvError
}

impl From<std::convert::Infallible> for Status {
    fn from(error: std::convert::Infallible) -> Self {
        match error {}
    }
}

/// Becomes [`Code::Unavailable`] where NATS cannot be reached or does not confirm in time, else [`Code::Internal`]:
/// that a subject is not allowed to this service is no `PERMISSION_DENIED` of its caller. The caller gets nothing of
/// the error, which is the source and is logged.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Connect | ErrorKind::Timeout => {
                Self::hiding(Code::Unavailable, UNAVAILABLE, error.into())
            }
            _ => internal(error),
        }
    }
}

/// A boxed `Status` is unboxed. Any other becomes [`Code::Internal`], and the caller gets nothing of the error: it is
/// the source, which is logged.
impl From<BoxError> for Status {
    fn from(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(status) => *status,
            Err(error) => internal(error),
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
        assert!(!status.hides_source());

        fn open() -> Result<(), Status> {
            std::fs::File::open("/nowhere/at/all")?;
            Ok(())
        }
        check_hidden(open().unwrap_err(), Code::Internal);
    }

    /// Checks that a text has nothing of its source.
    fn check_hidden(status: impl Into<Status>, code: Code) {
        let status = status.into();
        assert_eq!(status.code(), code);
        assert!(status.hides_source());
        let source = status.source().unwrap().to_string();
        assert!(!status.message().contains(&source), "{status}");
    }

    #[test]
    fn an_error_of_the_system_is_no_statement_to_the_caller() {
        for kind in [
            io::ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::InvalidInput,
            io::ErrorKind::TimedOut,
            io::ErrorKind::ConnectionRefused,
        ] {
            check_hidden(io::Error::from(kind), Code::Internal);
        }
        check_hidden(std::fmt::Error, Code::Internal);
        for (kind, code) in [
            (ErrorKind::Connect, Code::Unavailable),
            (ErrorKind::Timeout, Code::Unavailable),
            (ErrorKind::Permission, Code::Internal),
            (ErrorKind::JetStream, Code::Internal),
        ] {
            check_hidden(Error::new(kind, "nats://10.0.0.1:4222"), code);
        }
    }

    #[test]
    fn a_boxed_status_stays_itself() {
        let boxed: BoxError = Box::new(Status::not_found("x"));
        assert_eq!(Status::from(boxed).code(), Code::NotFound);
        check_hidden(BoxError::from("some text"), Code::Internal);
    }
}
