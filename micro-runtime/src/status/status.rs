//! `Status`: the failure of a call, the same value at the handler that returns it and at the caller.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use prost_types::Any;

use crate::printable::Printable;
use crate::status::code::Code;
use crate::status::reason::Reason;

/// Maximum length in bytes of a failure's text when the whole failure does not fit into one NATS message. With the
/// header, which has at most 512 bytes, it fits wherever NATS is usable at all.
const MAX_SHORTENED_LEN: usize = 1024;

/// Failure of a call: a [`Code`], a text for people, and details for programs.
///
/// A `Status` is always an error; success is the reply itself. Code, text and details are transmitted; the
/// [source](Self::with_source) stays in the process that set it. It is one pointer in size, so that a `Result` with
/// it is small.
///
/// `?` in a handler converts other errors: those of parsing into [`Code::InvalidArgument`] with their text, and errors
/// of the system, such as `io::Error`, `Box<dyn Error + Send + Sync>` and [`Error`](crate::Error), into
/// [`Code::Internal`] (or [`Code::Unavailable`], where NATS is away) without it: the caller gets nothing of these, and
/// the log of the service has them. An `impl From<MyError> for Status` chooses code and text for an error of your own.
///
/// `Display` and `Debug` show control characters escaped, as `\n`: the text may come from a peer, and must not forge
/// a line of a log. [`message`](Self::message) returns it as it is.
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
    /// Number of the layered call that the runtime ended so; 0 for none. See [`Status::ending_call`].
    ended_call: u64,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    /// Whether the text leaves the source out, so that the log alone can show it.
    hides_source: bool,
    /// Whether a handler of durable events rejects its event for good.
    is_rejection: bool,
}

impl Status {
    /// Makes a status from a code and a text for people, which the caller receives in full.
    ///
    /// There is a constructor for each code, as [`Status::not_found`].
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            details: Vec::new(),
            reason: None,
            ended_call: 0,
            source: None,
            hides_source: false,
            is_rejection: false,
        }))
    }

    /// Makes a status whose text states nothing of its source, which is not for peers. The log of the process shows it.
    pub(super) fn hiding(
        code: Code,
        message: &'static str,
        source: Box<dyn StdError + Send + Sync>,
    ) -> Self {
        let mut status = Self::new(code, message).with_boxed_source(source);
        status.0.hides_source = true;
        status
    }

    /// Returns whether the text leaves the source out, which then belongs into the log.
    pub(crate) fn hides_source(&self) -> bool {
        self.0.hides_source
    }

    /// Makes it the failure by which a handler of durable events rejects its event for good. Nothing of that is
    /// transmitted.
    pub(crate) fn into_rejection(mut self) -> Self {
        self.0.is_rejection = true;
        self
    }

    /// Returns whether a handler of durable events rejects its event for good.
    #[cfg(feature = "jetstream")]
    pub(crate) fn is_rejection(&self) -> bool {
        self.0.is_rejection
    }

    /// Sets the reason. `None` makes it the failure of a handler, which may have got it from a nested call.
    pub(crate) fn with_reason(mut self, reason: Option<Reason>) -> Self {
        self.0.reason = reason;
        self
    }

    /// Notes that the call of this number, which passes layers, has failed so behind all of them.
    pub(crate) fn ending_call(mut self, number: u64) -> Self {
        self.0.ended_call = number;
        self
    }

    /// Removes the reason unless it is why the runtime ended the call of this number: a layer may return the failure of
    /// a call of its own, whose reason does not apply to the call that passes the layer.
    pub(crate) fn of_layered_call(self, number: u64) -> Self {
        match self.0.ended_call == number {
            true => self,
            false => self.with_reason(None),
        }
    }

    /// Returns the failure without its details and with the beginning of its text, for when the whole does not fit
    /// into one NATS message.
    pub(crate) fn shortened(&self) -> Self {
        let text = self.message();
        let end = (0..=MAX_SHORTENED_LEN.min(text.len()))
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        Self::new(self.code(), format!("{} [cut]", &text[..end])).with_reason(self.reason())
    }

    /// Adds details for programs, as `google.rpc.Status` carries them. [`with_detail`](Self::with_detail) encodes a
    /// message.
    #[must_use]
    pub fn with_details(mut self, details: impl IntoIterator<Item = Any>) -> Self {
        self.0.details.extend(details);
        self
    }

    /// Adds the error that caused this failure, for logs in this process. It is never transmitted.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::error::Error as _;
    /// use micro_runtime::Status;
    ///
    /// let error = "x".parse::<u32>().unwrap_err();
    /// let status = Status::internal("the price is malformed").with_source(error);
    /// assert!(status.source().is_some());
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    pub(crate) fn with_boxed_source(mut self, source: Box<dyn StdError + Send + Sync>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Returns the class of the failure.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Returns the text for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the details for programs, in the order in which they were added. [`detail`](Self::detail) decodes one.
    #[must_use]
    pub fn details(&self) -> &[Any] {
        &self.0.details
    }

    /// Returns why the runtime ended the call, at the caller or at the server; `None` for a failure that a handler
    /// returned.
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
            message => write!(f, "{}: {}", self.code(), Printable(message)),
        }
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
