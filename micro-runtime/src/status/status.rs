//! `Status` and `Code`: how a call fails, on both sides of the wire.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use prost_types::Any;

use crate::status::code::Code;
use crate::status::reason::Reason;

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

    /// Sets the reason; `None` for a status of a handler, which cannot speak for the runtime.
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

    pub(super) fn with_boxed_source(mut self, source: Box<dyn StdError + Send + Sync>) -> Self {
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

impl Reason {
    /// Returns a status with this reason and the code that belongs to it.
    pub(crate) fn status(self, message: impl Into<Cow<'static, str>>) -> Status {
        self.status_with(self.code(), message)
    }

    /// Returns a status with this reason and another code than [`status`](Self::status) gives it.
    pub(crate) fn status_with(self, code: Code, message: impl Into<Cow<'static, str>>) -> Status {
        Status::new(code, message).with_reason(Some(self))
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
