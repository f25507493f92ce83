//! `StoreRefusal`: whether an error of a stream that does not store an event is final, by its code. Does no I/O.

use async_nats::jetstream::{Error, ErrorCode};

use crate::status::Code;

/// Meaning of an error by which a stream replies to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreRefusal {
    /// The event is not stored, and would not be at another attempt. The status gets this code.
    Final(Code),
    /// The event is not stored, and may be at another attempt.
    Passing,
    /// An earlier attempt is about to be stored; a repetition gets its sequence.
    UnderWay,
}

/// Final errors by their own code, since that of HTTP beside it misleads: a full stream has 503, a roll-up that is not
/// allowed 500.
const FINAL: [(u64, Code); 14] = [
    // Another stream, last id, last sequence of the stream or of the subject than the publisher expects.
    (10060, Code::Aborted),
    (10070, Code::Aborted),
    (10071, Code::Aborted),
    (10164, Code::Aborted),
    // The stream or the account is full.
    (10077, Code::ResourceExhausted),
    (10002, Code::ResourceExhausted),
    // The event or its headers are too large.
    (10054, Code::InvalidArgument),
    (10097, Code::InvalidArgument),
    // The stream is sealed, or has not what a header asks for.
    (10109, Code::FailedPrecondition),
    (10111, Code::FailedPrecondition),
    (10165, Code::FailedPrecondition),
    (10166, Code::FailedPrecondition),
    (10188, Code::FailedPrecondition),
    (10189, Code::FailedPrecondition),
];

impl StoreRefusal {
    /// Returns the meaning of an error. One that is not known is final below a code of 500, as in HTTP.
    pub(super) fn of(error: &Error) -> Self {
        if error.error_code() == ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT {
            return Self::UnderWay;
        }
        let own = error.error_code().0;
        match FINAL.iter().find(|(code, _)| *code == own) {
            Some((_, code)) => Self::Final(*code),
            None if error.code() >= 500 => Self::Passing,
            None => Self::Final(Code::FailedPrecondition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_classified_by_its_own_code() {
        let check = |code: u64, own: u64, expected: StoreRefusal| {
            let json = format!(r#"{{"code":{code},"err_code":{own},"description":"refused"}}"#);
            let error: Error = serde_json::from_str(&json).unwrap();
            assert_eq!(StoreRefusal::of(&error), expected, "{json}");
        };
        check(503, 10077, StoreRefusal::Final(Code::ResourceExhausted));
        check(400, 10077, StoreRefusal::Final(Code::ResourceExhausted));
        check(400, 10071, StoreRefusal::Final(Code::Aborted));
        check(400, 10054, StoreRefusal::Final(Code::InvalidArgument));
        check(500, 10111, StoreRefusal::Final(Code::FailedPrecondition));
        check(409, 10158, StoreRefusal::UnderWay);
        check(503, 10008, StoreRefusal::Passing);
        check(500, 10028, StoreRefusal::Passing);
        check(400, 1, StoreRefusal::Final(Code::FailedPrecondition));
    }
}
