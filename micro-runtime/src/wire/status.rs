//! `Status` as headers and payload, and back (docs/PROTOCOL.md, "A unary call").
//!
//! A failure is sent twice in one message: as `google.rpc.Status` in the payload, with the whole text and all
//! details, and as headers, for tools that know ADR-32 alone. The headers decide whether a reply is a failure
//! at all: any payload could be a `google.rpc.Status` by chance.

use async_nats::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;
use prost::{Message as _, Name as _};
use prost_types::Any;

use crate::json::{Transcoder, read_failure};
use crate::status::details::ErrorInfo;
use crate::status::{Code, Reason, Status};
use crate::wire::codec::encode;
use crate::wire::content_type::{ContentType, content_type, write_content_type};
use crate::wire::header::{
    MICRO_STATUS, SERVICE_ERROR, SERVICE_ERROR_CODE, append, find, parse_number,
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

/// Encodes a failure for a caller that writes JSON: its headers, and `google.rpc.Status` in JSON.
pub(crate) fn encode_status_in_json(
    status: &Status,
    transcoder: &Transcoder,
) -> (HeaderMap, Bytes) {
    let mut headers = Some(status_headers(status));
    write_content_type(&mut headers, ContentType::Json);
    let details = RpcStatus::new(status).details;
    let payload = transcoder.failure(status, &details);
    (headers.unwrap_or_default(), payload)
}

/// Returns the headers of a failure.
fn status_headers(status: &Status) -> HeaderMap {
    let error_code = match status.reason() {
        Some(Reason::TooLarge) => TOO_LARGE,
        _ => status.code().service_error_code(),
    };
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
    /// Makes the message from a status; the reason of the runtime becomes the first detail.
    pub(crate) fn new(status: &Status) -> Self {
        Self {
            code: status.code() as i32,
            message: status.message().to_owned(),
            details: status
                .reason()
                .map(error_info)
                .into_iter()
                .chain(status.details().iter().cloned())
                .collect(),
        }
    }

    /// Reads the message from JSON.
    fn of_json(json: &[u8]) -> Option<Self> {
        let (code, message, details) = read_failure(json)?;
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
            .partition::<Vec<_>, _>(|detail| reason_of(detail).is_some());
        Some(
            Status::new(code.unwrap_or(Code::Unknown), self.message)
                .with_details(details)
                .with_reason(own.first().and_then(reason_of)),
        )
    }
}

/// Decodes a failure; `None` if the headers are those of a success.
///
/// `Micro-Status` has precedence over the header of ADR-32, which is the only one of peers that know no more.
/// An unknown code is `UNKNOWN`: the reply is a failure in any case.
pub(crate) fn decode_status(headers: &HeaderMap, payload: &Bytes) -> Option<Status> {
    let value = |name| Some(find(headers, name)?.as_str().trim());
    let (name, code) = match (value(&MICRO_STATUS), value(&SERVICE_ERROR_CODE)) {
        (Some(code), _) => (MICRO_STATUS, code),
        (None, Some(code)) => (SERVICE_ERROR_CODE, code),
        (None, None) => return None,
    };
    let number = parse_number(code).and_then(|number| u16::try_from(number).ok());
    let known = match number {
        Some(0) if name == MICRO_STATUS => return None,
        Some(200) if name == SERVICE_ERROR_CODE => return None,
        Some(number) if name == MICRO_STATUS => Code::from_number(number.into()),
        number => number.map(Code::from_service_error_code),
    };
    let text = || match (find(headers, &SERVICE_ERROR), known) {
        (Some(text), _) => percent_decode(text.as_str()),
        (None, Some(_)) => String::new(),
        (None, None) => format!(
            "the reply has `{name}: {}`, which is no code",
            percent_encode(code, MAX_QUOTED_LEN)
        ),
    };
    let code = known.unwrap_or(Code::Unknown);
    // The payload counts only if it is a `google.rpc.Status` with the code of the headers: a peer that knows
    // only ADR-32 may put anything there.
    let body = || {
        let body = match content_type(Some(headers)) {
            Ok(ContentType::Json) => RpcStatus::of_json(payload)?,
            _ => RpcStatus::decode(payload.clone()).ok()?,
        };
        (body.code == code as i32).then_some(body)
    };
    match body().and_then(RpcStatus::into_status) {
        Some(status) => Some(status),
        None => Some(Status::new(code, text())),
    }
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

/// Returns the reason of the runtime that a detail carries; `None` for a detail of a handler.
fn reason_of(detail: &Any) -> Option<Reason> {
    let info = detail.to_msg::<ErrorInfo>().ok()?;
    (info.domain == DOMAIN).then_some(())?;
    Reason::from_name(&info.reason)
}
