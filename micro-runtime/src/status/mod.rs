//! `Status` and `Code`: how a call fails, on both sides of the wire.

pub mod details;
mod from;
mod reason;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use prost_types::Any;

pub use reason::Reason;

/// How much of a failure's text goes out when all of it does not fit.
const SHORT_TEXT: usize = 1024;

/// What went wrong with a call: a [`Code`], a text, and details for programs.
///
/// A `Status` is always an error; success is the reply itself.
///
/// # Examples
///
/// ```
/// use micro_runtime::{Code, Status};
///
/// fn find(name: &str) -> Result<u32, Status> {
///     Err(Status::not_found(format!("no account is called {name}")))
/// }
///
/// let status = find("ada").unwrap_err();
/// assert_eq!(status.code(), Code::NotFound);
/// assert_eq!(status.to_string(), "NOT_FOUND: no account is called ada");
/// ```
#[derive(Clone)]
pub struct Status(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    message: Cow<'static, str>,
    details: Vec<Any>,
    reason: Option<Reason>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The gRPC status codes. There is no `Ok`: an error is never ok.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Code {
    /// The caller gave up; `CANCELLED` on the wire.
    Canceled = 1,
    /// An error that says no more.
    Unknown = 2,
    /// The request is wrong whatever the state of the system.
    InvalidArgument = 3,
    /// The deadline passed before the call ended.
    DeadlineExceeded = 4,
    /// What was asked for does not exist.
    NotFound = 5,
    /// What was to be created exists.
    AlreadyExists = 6,
    /// The caller is known and may not do this.
    PermissionDenied = 7,
    /// A quota, a limit or a size is used up.
    ResourceExhausted = 8,
    /// The system is not in the state that the call needs.
    FailedPrecondition = 9,
    /// A conflict with another call; start over at a higher level.
    Aborted = 10,
    /// Past the valid range.
    OutOfRange = 11,
    /// The method or a part of it does not exist here.
    Unimplemented = 12,
    /// An invariant broke.
    Internal = 13,
    /// Nobody can serve the call now; trying again may help.
    Unavailable = 14,
    /// Data is lost or damaged for good.
    DataLoss = 15,
    /// The caller is not known.
    Unauthenticated = 16,
}

impl Status {
    /// Makes a status from a code and a text for people.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            details: Vec::new(),
            reason: None,
            source: None,
        }))
    }

    pub(crate) fn from_runtime(
        code: Code,
        reason: Reason,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut status = Self::new(code, message);
        status.0.reason = Some(reason);
        status
    }

    pub(crate) fn with_reason(mut self, reason: Option<Reason>) -> Self {
        self.0.reason = reason;
        self
    }

    /// The same without its details and with the beginning of its text, where all of it does not
    /// fit into one NATS message.
    pub(crate) fn shortened(&self) -> Self {
        let text = self.message();
        let end = (0..=SHORT_TEXT.min(text.len()))
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        Self::new(self.code(), format!("{} [cut]", &text[..end])).with_reason(self.reason())
    }

    /// Adds details for programs, as `google.rpc.Status` carries them.
    #[must_use]
    pub fn with_details(mut self, details: impl IntoIterator<Item = Any>) -> Self {
        self.0.details.extend(details);
        self
    }

    /// Keeps the error that led here, for logs; it never goes over the wire.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    fn with_boxed_source(mut self, source: Box<dyn StdError + Send + Sync>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The class of the failure.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The text for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The details for programs.
    #[must_use]
    pub fn details(&self) -> &[Any] {
        &self.0.details
    }

    /// Why the runtime ended the call, on either side; `None` for what a handler returned.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::Status;
    ///
    /// assert_eq!(Status::unavailable("maintenance").reason(), None);
    /// ```
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.0.reason
    }
}

macro_rules! constructors {
    ($($name:ident $code:ident)*) => {
        impl Status {$(
            #[doc = concat!("Makes a status with [`Code::", stringify!($code), "`].")]
            pub fn $name(message: impl Into<Cow<'static, str>>) -> Self {
                Self::new(Code::$code, message)
            }
        )*}
    };
}

constructors! {
    canceled Canceled
    unknown Unknown
    invalid_argument InvalidArgument
    deadline_exceeded DeadlineExceeded
    not_found NotFound
    already_exists AlreadyExists
    permission_denied PermissionDenied
    resource_exhausted ResourceExhausted
    failed_precondition FailedPrecondition
    aborted Aborted
    out_of_range OutOfRange
    unimplemented Unimplemented
    internal Internal
    unavailable Unavailable
    data_loss DataLoss
    unauthenticated Unauthenticated
}

/// Every code with its gRPC name and its `Nats-Service-Error-Code`.
const CODES: [(Code, &str, u16); 16] = [
    (Code::Canceled, "CANCELLED", 499),
    (Code::Unknown, "UNKNOWN", 500),
    (Code::InvalidArgument, "INVALID_ARGUMENT", 400),
    (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", 504),
    (Code::NotFound, "NOT_FOUND", 404),
    (Code::AlreadyExists, "ALREADY_EXISTS", 409),
    (Code::PermissionDenied, "PERMISSION_DENIED", 403),
    (Code::ResourceExhausted, "RESOURCE_EXHAUSTED", 429),
    (Code::FailedPrecondition, "FAILED_PRECONDITION", 400),
    (Code::Aborted, "ABORTED", 409),
    (Code::OutOfRange, "OUT_OF_RANGE", 400),
    (Code::Unimplemented, "UNIMPLEMENTED", 501),
    (Code::Internal, "INTERNAL", 500),
    (Code::Unavailable, "UNAVAILABLE", 503),
    (Code::DataLoss, "DATA_LOSS", 500),
    (Code::Unauthenticated, "UNAUTHENTICATED", 401),
];

impl Code {
    /// The gRPC name, as in `NOT_FOUND`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The number that ADR-32 tools see in `Nats-Service-Error-Code`, close to HTTP's.
    #[must_use]
    pub fn service_error_code(self) -> u16 {
        self.row().2
    }

    /// The code with this gRPC number; `None` for 0 and for numbers that gRPC does not know.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        CODES.get(index).map(|row| row.0)
    }

    /// What a peer means that sets only ADR-32's headers.
    pub(crate) fn from_service_error_code(code: u16) -> Self {
        match code {
            400 => Self::InvalidArgument,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            409 => Self::AlreadyExists,
            429 => Self::ResourceExhausted,
            499 => Self::Canceled,
            500 => Self::Internal,
            501 => Self::Unimplemented,
            503 => Self::Unavailable,
            504 => Self::DeadlineExceeded,
            _ => Self::Unknown,
        }
    }

    fn row(self) -> &'static (Self, &'static str, u16) {
        &CODES[self as usize - 1]
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            "" => write!(f, "{}", self.code()),
            message => write!(f, "{}: {message}", self.code()),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            code,
            message,
            details,
            reason,
            source,
        } = &*self.0;
        f.debug_struct("Status")
            .field("code", code)
            .field("message", message)
            .field("details", details)
            .field("reason", reason)
            .field("source", source)
            .finish()
    }
}

impl StdError for Status {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_finds_its_own_row() {
        for (index, (code, name, _)) in CODES.iter().enumerate() {
            assert_eq!(*code as usize, index + 1, "{name}");
            assert_eq!(code.name(), *name);
            assert_eq!(Code::from_number(*code as i32), Some(*code));
        }
        assert_eq!(Code::from_number(0), None);
        assert_eq!(Code::from_number(17), None);
        assert_eq!(Code::from_number(-1), None);
    }

    #[test]
    fn every_reason_is_read_back_by_its_name() {
        for (reason, name) in reason::REASONS {
            assert_eq!(reason.name(), name);
            assert_eq!(Reason::from_name(name), Some(reason));
        }
        assert_eq!(Reason::from_name("TIRED"), None);
    }
}
