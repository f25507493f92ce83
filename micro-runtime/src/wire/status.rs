//! `Status` as headers and payload, and back (docs/PROTOCOL.md, "Failures").
//!
//! A failure is sent twice in one message: as `google.rpc.Status` in the payload, with the whole text and all
//! details, and as headers, for tools that know ADR-32 alone. The headers decide whether a reply is a failure
//! at all: any payload could be a `google.rpc.Status` by chance.

use async_nats::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message as _, Name as _};
use prost_types::Any;
use serde_json::json;

use crate::json::{Transcoder, read_failure};
use crate::status::details::ErrorInfo;
use crate::status::{Code, Reason, Status};
use crate::wire::codec::encode;
use crate::wire::content_type::{ContentType, content_type, write_content_type};
use crate::wire::header::{
    MICRO_STATUS, SERVICE_ERROR, SERVICE_ERROR_CODE, append, find_all, parse_number,
};
use crate::wire::percent::{percent_decode, percent_encode};

/// Maximum length in bytes of a header's value in an error message, percent-encoded.
const MAX_QUOTED_LEN: usize = 64;
/// Maximum length in bytes of the text in the header, percent-encoded. The payload has the whole text.
pub(super) const MAX_HEADER_TEXT_LEN: usize = 512;
/// `Nats-Service-Error-Code` of what does not fit into one NATS message.
const TOO_LARGE: u16 = 413;
/// Domain of the `ErrorInfo` with the reason of the runtime; see [`Reason`].
const DOMAIN: &str = "micro.v1";

/// Number of the field `details` of `google.rpc.Status`.
const DETAILS_FIELD: u32 = 3;
/// Maximum number of details that are read of a failure. Empty ones take 24 times their length in memory.
const MAX_DETAILS: usize = 1024;

/// `google.rpc.Status`, the payload of a failure, and the status of a frame.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// Encodes a failure: its headers, and `google.rpc.Status` in protobuf.
pub(crate) fn encode_status(status: &Status) -> (HeaderMap, Bytes) {
    (status_headers(status), encode(&RpcStatus::new(status)))
}

/// Encodes a failure for a caller that writes JSON: its headers, and `google.rpc.Status` in JSON. Without a transcoder,
/// where the service does not serve JSON, the details are left out: their JSON depends on their types.
pub(crate) fn encode_status_in_json(
    status: &Status,
    transcoder: Option<&Transcoder>,
) -> (HeaderMap, Bytes) {
    let mut headers = Some(status_headers(status));
    write_content_type(&mut headers, ContentType::Json);
    let payload = match transcoder {
        Some(transcoder) => transcoder.failure(status, &RpcStatus::new(status).details),
        None => without_details(status),
    };
    (headers.unwrap_or_default(), payload)
}

/// Returns `google.rpc.Status` in JSON with no other detail than the reason of the runtime.
fn without_details(status: &Status) -> Bytes {
    let details = status.reason().map(|reason| {
        json!([{ "@type": ErrorInfo::type_url(), "reason": reason.name(), "domain": DOMAIN }])
    });
    let code = status.code() as i32;
    let json = match details {
        None => json!({ "code": code, "message": status.message() }),
        Some(details) => json!({ "code": code, "message": status.message(), "details": details }),
    };
    json.to_string().into()
}

/// Returns the code of a failure as ADR-32 has it, in `Nats-Service-Error-Code` and in STATS.
pub(crate) fn service_error_code(status: &Status) -> u16 {
    match status.reason() {
        Some(Reason::TooLarge) => TOO_LARGE,
        _ => status.code().service_error_code(),
    }
}

/// Returns the headers of a failure.
fn status_headers(status: &Status) -> HeaderMap {
    let error_code = service_error_code(status);
    let mut headers = HeaderMap::new();
    headers.insert(MICRO_STATUS, HeaderValue::from(status.code() as u64));
    headers.insert(SERVICE_ERROR_CODE, HeaderValue::from(u64::from(error_code)));
    append(
        &mut headers,
        SERVICE_ERROR,
        &percent_encode(status.message(), MAX_HEADER_TEXT_LEN),
    );
    headers
}

impl RpcStatus {
    /// Makes the message from a status; the reason of the runtime becomes the first detail. A detail of a handler that
    /// looks like one is left out: it may come from a call of the handler's own, by another library.
    pub(crate) fn new(status: &Status) -> Self {
        let details = status.details().iter();
        let details = details.filter(|detail| !is_of_runtime(detail)).cloned();
        Self {
            code: status.code() as i32,
            message: status.message().to_owned(),
            details: status
                .reason()
                .map(error_info)
                .into_iter()
                .chain(details)
                .collect(),
        }
    }

    /// Reads the message, with its first 1,024 details.
    ///
    /// # Errors
    ///
    /// That of bytes which are no such message.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut status = Self::default();
        let (mut rest, mut details) = (bytes, 0);
        while !rest.is_empty() {
            let context = DecodeContext::default();
            let (tag, wire_type) = decode_key(&mut rest)?;
            details += usize::from(tag == DETAILS_FIELD);
            match tag == DETAILS_FIELD && details > MAX_DETAILS {
                true => skip_field(wire_type, tag, &mut rest, context)?,
                false => status.merge_field(tag, wire_type, &mut rest, context)?,
            }
        }
        Ok(status)
    }

    /// Reads the message from JSON, with its first 1,024 details.
    fn of_json(json: &[u8]) -> Option<Self> {
        let (code, message, details) = read_failure(json, MAX_DETAILS)?;
        Some(Self {
            code,
            message,
            details,
        })
    }

    /// Returns the failure; `None` for the code of success.
    pub(crate) fn into_status(self) -> Option<Status> {
        if self.code == 0 {
            return None;
        }
        let code = Code::from_number(self.code);
        let (own, details) = self
            .details
            .into_iter()
            .partition::<Vec<_>, _>(is_of_runtime);
        Some(
            Status::new(code.unwrap_or(Code::Unknown), self.message)
                .with_details(details)
                .with_reason(own.first().and_then(reason_of)),
        )
    }
}

/// Decodes a failure; `None` if the headers are those of a success.
///
/// Any sign of a failure makes one, whatever the other headers are; [`failing_header`] has the order. A code that is
/// not known is `UNKNOWN`.
pub(crate) fn decode_status(headers: &HeaderMap, payload: &Bytes) -> Option<Status> {
    let (name, code) = failing_header(headers)?;
    let number = parse_code(code).and_then(|number| u16::try_from(number).ok());
    let known = match number {
        Some(number) if name == MICRO_STATUS => Code::from_number(number.into()),
        Some(number) if name == SERVICE_ERROR_CODE => Some(Code::from_service_error_code(number)),
        _ => None,
    };
    let text = || {
        let mut texts = find_all(headers, &SERVICE_ERROR).map(HeaderValue::as_str);
        let quoted = || percent_encode(code, MAX_QUOTED_LEN);
        match (texts.next(), known) {
            (Some(""), _) if name == SERVICE_ERROR => {
                "the reply has an empty `Nats-Service-Error` and no code".to_owned()
            }
            (Some(text), _) => percent_decode(text),
            (None, Some(_)) => format!("the reply has `{name}: {}` and no text", quoted()),
            (None, None) => format!("the reply has `{name}: {}`, which is no code", quoted()),
        }
    };
    let code = known.unwrap_or(Code::Unknown);
    // The payload counts only if it is a `google.rpc.Status` with the code of the headers: a peer that knows
    // only ADR-32 may put anything there.
    let body = || {
        let body = match content_type(Some(headers)) {
            Ok(ContentType::Json) => RpcStatus::of_json(payload)?,
            _ => RpcStatus::read(payload).ok()?,
        };
        (body.code == code as i32).then_some(body)
    };
    match body().and_then(RpcStatus::into_status) {
        Some(status) => Some(status),
        None => Some(Status::new(code, text())),
    }
}

/// Returns the header that makes a reply a failure, and its value; `None` for a success.
///
/// Services by hand write these headers in any combination. None of their failures may count as a success, whose empty
/// payload would be a message of defaults:
///
/// 1. `Micro-Status` with any value but 0;
/// 2. else `Nats-Service-Error-Code` with any value but 200;
/// 3. else `Nats-Service-Error` with a text, or an empty one without any code: a service may write the text of an
///    exception, which may have none.
///
/// Of a header that is repeated, also in another case, the first value that is a failure counts.
fn failing_header(headers: &HeaderMap) -> Option<(HeaderName, &str)> {
    let mut has_code = false;
    for (name, success) in [(MICRO_STATUS, 0), (SERVICE_ERROR_CODE, 200)] {
        for value in find_all(headers, &name) {
            let value = value.as_str().trim();
            if parse_code(value) != Some(success) {
                return Some((name, value));
            }
            has_code = true;
        }
    }
    find_all(headers, &SERVICE_ERROR)
        .map(HeaderValue::as_str)
        .find(|text| !(has_code && text.is_empty()))
        .map(|text| (SERVICE_ERROR, text))
}

/// Parses one of the two codes: a number without leading zeros. `00` is no success: it is not known what its sender
/// means by it.
fn parse_code(text: &str) -> Option<u64> {
    let is_padded = text.len() > 1 && text.starts_with('0');
    if is_padded { None } else { parse_number(text) }
}

/// Returns the failure of a call whose reply is a message of NATS itself, with a status such as 409, and not of a
/// service. Its payload is empty, which would decode as a message of defaults.
#[cold]
pub(crate) fn not_a_reply(status: StatusCode, description: Option<&str>) -> Status {
    Reason::NotAService.status(format!(
        "NATS, and not a service, replied: status {} {}",
        status.as_u16(),
        description.unwrap_or_default().escape_debug()
    ))
}

/// Returns the headers of the end of a stream by hand, which has no payload.
pub(crate) fn encode_end(result: &Result<(), Status>) -> HeaderMap {
    match result {
        Ok(()) => {
            let mut headers = HeaderMap::new();
            headers.insert(MICRO_STATUS, HeaderValue::from(0));
            headers
        }
        Err(status) => status_headers(status),
    }
}

/// Returns the detail that carries a reason of the runtime.
fn error_info(reason: Reason) -> Any {
    let info = ErrorInfo {
        reason: reason.name().to_owned(),
        domain: DOMAIN.to_owned(),
        ..ErrorInfo::default()
    };
    Any {
        type_url: ErrorInfo::type_url(),
        value: info.encode_to_vec(),
    }
}

/// Returns whether a detail carries a reason of the runtime, be it one of a later version.
fn is_of_runtime(detail: &Any) -> bool {
    let info = detail.to_msg::<ErrorInfo>();
    info.is_ok_and(|info| info.domain == DOMAIN)
}

/// Returns the reason of the runtime that a detail carries; `None` for one of a later version.
fn reason_of(detail: &Any) -> Option<Reason> {
    let info = detail.to_msg::<ErrorInfo>().ok()?;
    Reason::from_name(&info.reason)
}
