//! `Status` as headers and `google.rpc.Status`, in protobuf and in JSON, and back.

use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;
use prost::{Message as _, Name as _};
use prost_types::Any;

use crate::json::{Transcoder, read_failure};
use crate::status::details::ErrorInfo;
use crate::status::{Code, Reason, Status};
use crate::wire::codec::encode;
use crate::wire::content_type::{ContentType, content_type, write_content_type};
use crate::wire::header::{MICRO_STATUS, SERVICE_ERROR, SERVICE_ERROR_CODE, append};
use crate::wire::percent::{percent_decode, percent_encode};

/// The text in a header is for people and tools; the payload has all of it.
pub(super) const ERROR_TEXT_LIMIT: usize = 512;
/// The service error code of a reply that does not fit into a NATS message.
const TOO_LARGE: u16 = 413;
/// Marks a detail as the runtime's own.
const DOMAIN: &str = "micro.v1";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// Writes a failure: the headers that every client reads, and `google.rpc.Status`.
pub(crate) fn encode_status(status: &Status) -> (HeaderMap, Bytes) {
    (status_headers(status), encode(&RpcStatus::new(status)))
}

/// Writes a failure for a caller who speaks JSON.
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
        &percent_encode(status.message(), ERROR_TEXT_LIMIT),
    );
    headers
}

impl RpcStatus {
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

    fn of_json(json: &[u8]) -> Option<Self> {
        let (code, message, details) = read_failure(json)?;
        Some(Self {
            code,
            message,
            details,
        })
    }

    /// The failure that it says; `None` for success.
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

/// Reads a failure; `None` when the headers say that the reply is a success.
pub(crate) fn decode_status(headers: &HeaderMap, payload: &Bytes) -> Option<Status> {
    let number = |name| headers.get(name)?.as_str().trim().parse::<u16>().ok();
    let has_code = headers.get(SERVICE_ERROR_CODE).is_some();
    let code = match (headers.get(MICRO_STATUS), has_code) {
        (None, false) => return None,
        (Some(_), _) => match number(MICRO_STATUS) {
            Some(0) => return None,
            number => number
                .and_then(|number| Code::from_number(number.into()))
                .unwrap_or(Code::Unknown),
        },
        (None, true) => match number(SERVICE_ERROR_CODE) {
            Some(200) => return None,
            number => number.map_or(Code::Unknown, Code::from_service_error_code),
        },
    };
    let text = || {
        headers
            .get(SERVICE_ERROR)
            .map(|text| percent_decode(text.as_str()))
            .unwrap_or_default()
    };
    // The payload counts only where it is what this protocol writes: a peer that knows ADR-32
    // alone may put anything there.
    let ours = || {
        let body = match content_type(Some(headers)) {
            Ok(ContentType::Json) => RpcStatus::of_json(payload)?,
            _ => RpcStatus::decode(payload.clone()).ok()?,
        };
        (body.code == code as i32).then_some(body)
    };
    match ours().and_then(RpcStatus::into_status) {
        Some(status) => Some(status),
        None => Some(Status::new(code, text())),
    }
}

/// Writes the end of a stream by hand.
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

fn reason_of(detail: &Any) -> Option<Reason> {
    let info = detail.to_msg::<ErrorInfo>().ok()?;
    (info.domain == DOMAIN).then_some(())?;
    Reason::from_name(&info.reason)
}
