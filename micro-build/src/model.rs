//! Services and events as the emitters need them: names, kinds, options and positions, all resolved.

use crate::error::Location;

/// A protobuf package with its services and events.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) services: Vec<Service>,
    pub(crate) events: Vec<Event>,
    /// Whether the user requested one of its files, and so expects an output file even if it is empty.
    pub(crate) is_requested: bool,
}

/// A service of a `.proto`.
#[derive(Debug)]
pub(crate) struct Service {
    /// The name in the `.proto`.
    pub(crate) name: String,
    /// The name from which those of trait, client and server are derived.
    pub(crate) rust_name: String,
    /// `package.Service`: the subject of a call without its last token.
    pub(crate) full_name: String,
    pub(crate) package: String,
    pub(crate) comment: Vec<String>,
    pub(crate) at: Location,
    pub(crate) deprecated: bool,
    pub(crate) options: ServiceOptions,
    pub(crate) methods: Vec<Method>,
}

/// A method of a service.
#[derive(Debug)]
pub(crate) struct Method {
    /// The name in the `.proto`.
    pub(crate) name: String,
    /// The Rust identifier, raw if it is a keyword.
    pub(crate) rust_name: String,
    pub(crate) full_name: String,
    pub(crate) kind: Kind,
    /// The full protobuf name, without the leading dot.
    pub(crate) request: String,
    /// The full protobuf name, without the leading dot.
    pub(crate) reply: String,
    pub(crate) comment: Vec<String>,
    pub(crate) at: Location,
    pub(crate) deprecated: bool,
    pub(crate) idempotency: Idempotency,
    pub(crate) options: MethodOptions,
}

/// A message with the option `(micro.v1.event)`.
#[derive(Debug)]
pub(crate) struct Event {
    /// The name in the `.proto`.
    pub(crate) name: String,
    pub(crate) full_name: String,
    /// The path of the struct from the package's module, such as `outer::Trade`.
    pub(crate) rust_path: String,
    /// The name of the filter, such as `TradeFilter`.
    pub(crate) filter: String,
    /// The subject template, such as `evt.market.trade.{venue}`.
    pub(crate) template: String,
    /// The fields that the placeholders refer to, in the order of the template, without duplicates.
    pub(crate) fields: Vec<EventField>,
    pub(crate) at: Location,
}

/// A field whose value is a token of an event's subject.
#[derive(Debug)]
pub(crate) struct EventField {
    /// The name in the `.proto`.
    pub(crate) name: String,
    /// The field of the struct.
    pub(crate) rust_name: String,
    /// The method of the filter that fixes the field.
    pub(crate) setter: String,
    pub(crate) ty: EventFieldType,
    /// The value of an absent field, as text, if the struct's field is an `Option`.
    pub(crate) default: Option<String>,
}

/// Type of a field that a subject can contain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EventFieldType {
    Text,
    Bool,
    /// The Rust type, such as `u64`.
    Integer(&'static str),
    /// The number and the first name of each value.
    Enum(Vec<(i32, String)>),
}

/// Kind of a method, by the directions that are streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Unary,
    ServerStreaming,
    ClientStreaming,
    Bidirectional,
}

/// `google.protobuf.MethodOptions.IdempotencyLevel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idempotency {
    Unknown,
    NoSideEffects,
    Idempotent,
}

/// `micro.v1.ServiceOptions`; an option that the `.proto` does not set is `None`.
#[derive(Debug, Default)]
pub(crate) struct ServiceOptions {
    pub(crate) version: Option<String>,
    pub(crate) queue_group: Option<String>,
    pub(crate) description: Option<String>,
}

/// `micro.v1.MethodOptions`; an option that the `.proto` does not set is `None`.
#[derive(Debug, Default)]
pub(crate) struct MethodOptions {
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) max_concurrent: Option<u32>,
    pub(crate) expires: bool,
}

impl Kind {
    pub(crate) fn of(client_streaming: bool, server_streaming: bool) -> Self {
        match (client_streaming, server_streaming) {
            (false, false) => Self::Unary,
            (false, true) => Self::ServerStreaming,
            (true, false) => Self::ClientStreaming,
            (true, true) => Self::Bidirectional,
        }
    }
}
