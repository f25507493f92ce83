//! `Code`: the status codes of gRPC, and their counterparts in ADR-32.

use std::fmt;

/// Status code of gRPC: the class of a failed call.
///
/// There is no `Ok`, because a [`Status`](crate::Status) is always a failure. The variant `Canceled` is spelt
/// `CANCELLED` on the wire, as in gRPC.
///
/// # Examples
///
/// ```
/// use micro_runtime::Code;
///
/// assert_eq!(Code::NotFound.name(), "NOT_FOUND");
/// assert_eq!(Code::NotFound.service_error_code(), 404);
/// assert_eq!(Code::from_number(5), Some(Code::NotFound));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Code {
    /// The caller gave the call up.
    Canceled = 1,
    /// An error without a known class, as of a peer with an unknown code.
    Unknown = 2,
    /// The request is invalid, whatever the state of the system.
    InvalidArgument = 3,
    /// The deadline passed before the call ended.
    DeadlineExceeded = 4,
    /// The requested entity does not exist.
    NotFound = 5,
    /// The entity that the call would create exists already.
    AlreadyExists = 6,
    /// The caller is authenticated and may not do this.
    PermissionDenied = 7,
    /// A quota, a limit or a maximum size is exceeded.
    ResourceExhausted = 8,
    /// The system is not in the state that the call needs.
    FailedPrecondition = 9,
    /// The call conflicts with another one; the caller may start over at a higher level, as with a whole
    /// transaction.
    Aborted = 10,
    /// The request reaches past a valid range, as a read behind the end of a file.
    OutOfRange = 11,
    /// The method or a part of it does not exist here.
    Unimplemented = 12,
    /// An invariant of the service or the runtime is broken.
    Internal = 13,
    /// No instance can serve the call now; trying again later may help.
    Unavailable = 14,
    /// Data is lost or damaged beyond repair.
    DataLoss = 15,
    /// The caller is not authenticated.
    Unauthenticated = 16,
}

/// Every code, in the order of its number, with its gRPC name and its `Nats-Service-Error-Code`: the table of
/// docs/PROTOCOL.md, FAIL-5.
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
    /// Returns the gRPC name, as in `NOT_FOUND`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Returns the number in the header `Nats-Service-Error-Code`, which tools of ADR-32 show: close to HTTP's, and
    /// the same for several codes.
    #[must_use]
    pub fn service_error_code(self) -> u16 {
        self.row().2
    }

    /// Returns the code with this gRPC number; `None` for 0, which is success, and for numbers that gRPC does not
    /// have.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        CODES.get(index).map(|row| row.0)
    }

    /// Returns the code of a failure from a peer that sets only the headers of ADR-32.
    ///
    /// It is not the inverse of [`service_error_code`](Self::service_error_code), which maps several codes to one
    /// number: such a number gives one of them.
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
}
