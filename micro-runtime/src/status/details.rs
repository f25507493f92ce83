//! The standard details of `google.rpc.Status`, as google/rpc/error_details.proto declares them.

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

/// Why it failed, for programs: a reason within a domain.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ErrorInfo {
    /// In capitals, constant for one kind of failure: `CREDIT_CARD_EXPIRED`.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// Whose reasons these are, usually the service's name.
    #[prost(string, tag = "2")]
    pub domain: String,
    /// What else there is to know.
    #[prost(map = "string, string", tag = "3")]
    pub metadata: HashMap<String, String>,
}

/// When to try again.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RetryInfo {
    /// How long to wait at least.
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<Duration>,
}

/// Where it failed, for developers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DebugInfo {
    /// One entry per frame.
    #[prost(string, repeated, tag = "1")]
    pub stack_entries: Vec<String>,
    /// What else there is to know.
    #[prost(string, tag = "2")]
    pub detail: String,
}

/// Which quotas are used up.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QuotaFailure {
    /// One per quota.
    #[prost(message, repeated, tag = "1")]
    pub violations: Vec<QuotaViolation>,
}

/// A quota that is used up.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QuotaViolation {
    /// Whose quota it is.
    #[prost(string, tag = "1")]
    pub subject: String,
    /// What it says, and how to get more.
    #[prost(string, tag = "2")]
    pub description: String,
}

/// What has to change before the call can succeed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PreconditionFailure {
    /// One per condition.
    #[prost(message, repeated, tag = "1")]
    pub violations: Vec<PreconditionViolation>,
}

/// A condition that is not met.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PreconditionViolation {
    /// Its kind, in capitals: `TOS`.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// What it is about.
    #[prost(string, tag = "2")]
    pub subject: String,
    /// How to meet it.
    #[prost(string, tag = "3")]
    pub description: String,
}

/// Which fields of the request are wrong.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BadRequest {
    /// One per field.
    #[prost(message, repeated, tag = "1")]
    pub field_violations: Vec<FieldViolation>,
}

/// A field that is wrong.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FieldViolation {
    /// Its path, as in `address.lines[1]`.
    #[prost(string, tag = "1")]
    pub field: String,
    /// Why.
    #[prost(string, tag = "2")]
    pub description: String,
    /// Why, in capitals.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// Why, in the reader's language.
    #[prost(message, optional, tag = "4")]
    pub localized_message: Option<LocalizedMessage>,
}

/// Which request failed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RequestInfo {
    /// What the service's log knows it by.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// What else the service's log needs.
    #[prost(string, tag = "2")]
    pub serving_data: String,
}

/// Which resource it is about.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceInfo {
    /// Its type.
    #[prost(string, tag = "1")]
    pub resource_type: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub resource_name: String,
    /// Who owns it.
    #[prost(string, tag = "3")]
    pub owner: String,
    /// What is wrong with it.
    #[prost(string, tag = "4")]
    pub description: String,
}

/// Where to read on.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Help {
    /// One per page.
    #[prost(message, repeated, tag = "1")]
    pub links: Vec<HelpLink>,
}

/// A page to read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HelpLink {
    /// What it offers.
    #[prost(string, tag = "1")]
    pub description: String,
    /// Its address.
    #[prost(string, tag = "2")]
    pub url: String,
}

/// A text for the user, in his language.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LocalizedMessage {
    /// As in `fr-CH`, by BCP 47.
    #[prost(string, tag = "1")]
    pub locale: String,
    /// The text.
    #[prost(string, tag = "2")]
    pub message: String,
}

impl Status {
    /// Adds a typed detail: a standard one of [`details`](crate::details), or any message with a
    /// name.
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

    /// Reads the first detail of a type; `None` if there is none that can be read.
    #[must_use]
    pub fn detail<D: Name + Default>(&self) -> Option<D> {
        self.details()
            .iter()
            .find_map(|detail| detail.to_msg().ok())
    }
}
