//! Standard details of a failure, as google/rpc/error_details.proto declares them for `google.rpc.Status`.
//!
//! [`Status::with_detail`] adds one, [`Status::detail`] reads it. They travel in the payload of a failure, so that
//! peers in other languages read them with the classes that gRPC brings.

use std::collections::HashMap;

use prost::Name;
use prost_types::{Any, Duration};

use crate::status::status::Status;

macro_rules! named {
    ($($name:ident)*) => {$(
        impl Name for $name {
            const NAME: &'static str = stringify!($name);
            const PACKAGE: &'static str = "google.rpc";

            fn type_url() -> String {
                concat!("type.googleapis.com/google.rpc.", stringify!($name)).to_owned()
            }
        }
    )*};
}

named! {
    ErrorInfo RetryInfo DebugInfo QuotaFailure PreconditionFailure BadRequest RequestInfo
    ResourceInfo Help LocalizedMessage
}

/// Cause of a failure for programs: a reason within a domain.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ErrorInfo {
    /// Constant for one kind of failure, in capitals: `CREDIT_CARD_EXPIRED`.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// Owner of the reason, usually the service's name. `micro.v1` is reserved for this runtime.
    #[prost(string, tag = "2")]
    pub domain: String,
    /// Further facts, as the id of the entity that is concerned.
    #[prost(map = "string, string", tag = "3")]
    pub metadata: HashMap<String, String>,
}

/// Time after which a call may be tried again.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RetryInfo {
    /// Minimum time to wait.
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<Duration>,
}

/// Place of a failure, for developers. It exposes internals; leave it out where callers are not trusted.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DebugInfo {
    /// Stack trace, one entry per frame.
    #[prost(string, repeated, tag = "1")]
    pub stack_entries: Vec<String>,
    /// Further facts, as text.
    #[prost(string, tag = "2")]
    pub detail: String,
}

/// Quotas that a call exceeds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QuotaFailure {
    /// One entry per quota.
    #[prost(message, repeated, tag = "1")]
    pub violations: Vec<QuotaViolation>,
}

/// A quota that a call exceeds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QuotaViolation {
    /// Owner of the quota, as `clientip:203.0.113.7`.
    #[prost(string, tag = "1")]
    pub subject: String,
    /// Limit of the quota, and how to raise it.
    #[prost(string, tag = "2")]
    pub description: String,
}

/// Conditions that a call needs and that do not hold.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PreconditionFailure {
    /// One entry per condition.
    #[prost(message, repeated, tag = "1")]
    pub violations: Vec<PreconditionViolation>,
}

/// A condition that does not hold.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PreconditionViolation {
    /// Kind of the condition, in capitals: `TOS`.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// Entity that the condition concerns.
    #[prost(string, tag = "2")]
    pub subject: String,
    /// How to fulfill the condition.
    #[prost(string, tag = "3")]
    pub description: String,
}

/// Fields of a request that are invalid.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BadRequest {
    /// One entry per field.
    #[prost(message, repeated, tag = "1")]
    pub field_violations: Vec<FieldViolation>,
}

/// A field of a request that is invalid.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FieldViolation {
    /// Path of the field, as in `address.lines[1]`.
    #[prost(string, tag = "1")]
    pub field: String,
    /// Explanation, for developers.
    #[prost(string, tag = "2")]
    pub description: String,
    /// Reason for programs, in capitals.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// Explanation for users, in their language.
    #[prost(message, optional, tag = "4")]
    pub localized_message: Option<LocalizedMessage>,
}

/// Identification of the request that failed, to find it in a log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RequestInfo {
    /// Id of the request in the service's log.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// Further data that the owner of the service needs to find it.
    #[prost(string, tag = "2")]
    pub serving_data: String,
}

/// Resource that a failure concerns.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceInfo {
    /// Type of the resource, as a full name.
    #[prost(string, tag = "1")]
    pub resource_type: String,
    /// Name of the resource.
    #[prost(string, tag = "2")]
    pub resource_name: String,
    /// Owner of the resource.
    #[prost(string, tag = "3")]
    pub owner: String,
    /// Explanation of the failure.
    #[prost(string, tag = "4")]
    pub description: String,
}

/// Links to further reading.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Help {
    /// One entry per page.
    #[prost(message, repeated, tag = "1")]
    pub links: Vec<HelpLink>,
}

/// A link to a page.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HelpLink {
    /// Contents of the page.
    #[prost(string, tag = "1")]
    pub description: String,
    /// Address of the page.
    #[prost(string, tag = "2")]
    pub url: String,
}

/// A text for users, in their language.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LocalizedMessage {
    /// Language tag of BCP 47, as in `fr-CH`.
    #[prost(string, tag = "1")]
    pub locale: String,
    /// The text.
    #[prost(string, tag = "2")]
    pub message: String,
}

impl Status {
    /// Adds a typed detail: a standard one of [`details`](crate::details), or any protobuf message with a name.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::Status;
    /// use micro_runtime::details::{BadRequest, FieldViolation};
    ///
    /// let field = FieldViolation {
    ///     field: "name".into(),
    ///     description: "must not be empty".into(),
    ///     ..FieldViolation::default()
    /// };
    /// let status = Status::invalid_argument("bad request")
    ///     .with_detail(&BadRequest { field_violations: vec![field] });
    ///
    /// let read: BadRequest = status.detail().expect("just added");
    /// assert_eq!(read.field_violations[0].field, "name");
    /// ```
    #[must_use]
    pub fn with_detail<D: Name>(self, detail: &D) -> Self {
        let detail = Any {
            type_url: D::type_url(),
            value: detail.encode_to_vec(),
        };
        self.with_details([detail])
    }

    /// Returns the first detail of type `D`; `None` if there is none that can be decoded.
    #[must_use]
    pub fn detail<D: Name + Default>(&self) -> Option<D> {
        self.details()
            .iter()
            .find_map(|detail| detail.to_msg().ok())
    }
}
