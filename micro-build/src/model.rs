//! Services as the emitters see them: names, kinds, options and places, with nothing left to look up.

use crate::error::Location;

/// A protobuf package that has services, or messages, or both.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) services: Vec<Service>,
    pub(crate) events: Vec<Event>,
    /// Asked for by the user, who therefore expects a file even if it is an empty one.
    pub(crate) is_named: bool,
}

#[derive(Debug)]
pub(crate) struct Service {
    /// As spelt in the .proto.
    pub(crate) name: String,
    /// Of which the names of trait, client and server are made.
    pub(crate) rust_name: String,
    /// `package.Service`, the call subject less its last token.
    pub(crate) full_name: String,
    pub(crate) package: String,
    pub(crate) comment: Vec<String>,
    pub(crate) at: Location,
    pub(crate) deprecated: bool,
    pub(crate) options: ServiceOptions,
    pub(crate) methods: Vec<Method>,
}

#[derive(Debug)]
pub(crate) struct Method {
    /// As spelt in the .proto.
    pub(crate) name: String,
    /// As an identifier, raw if need be.
    pub(crate) rust_name: String,
    pub(crate) full_name: String,
    pub(crate) kind: Kind,
    /// Full protobuf names, without the leading dot.
    pub(crate) request: String,
    pub(crate) reply: String,
    pub(crate) comment: Vec<String>,
    pub(crate) at: Location,
    pub(crate) deprecated: bool,
    pub(crate) idempotency: Idempotency,
    pub(crate) options: MethodOptions,
}

/// A message with a subject of its own.
#[derive(Debug)]
pub(crate) struct Event {
    /// As spelt in the .proto.
    pub(crate) name: String,
    pub(crate) full_name: String,
    /// From the package's module, as in `outer::Trade`.
    pub(crate) rust_path: String,
    pub(crate) filter: String,
    /// The subject, as in `evt.market.trade.{venue}`.
    pub(crate) template: String,
    /// What the placeholders name, each once, in the order of the template.
    pub(crate) fields: Vec<EventField>,
    pub(crate) at: Location,
}

#[derive(Debug)]
pub(crate) struct EventField {
    /// As spelt in the .proto.
    pub(crate) name: String,
    /// The field of the struct.
    pub(crate) rust_name: String,
    /// The method of the filter.
    pub(crate) setter: String,
    pub(crate) ty: EventFieldType,
    /// What stands for an absent value, where the struct holds an `Option`.
    pub(crate) default: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EventFieldType {
    Text,
    Bool,
    /// The integer as Rust calls it.
    Integer(&'static str),
    /// The names of the numbers, the first name of each.
    Enum(Vec<(i32, String)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Unary,
    ServerStreaming,
    ClientStreaming,
    Bidirectional,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idempotency {
    Unknown,
    NoSideEffects,
    Idempotent,
}

/// `micro.v1.ServiceOptions`; what the .proto leaves out is `None`.
#[derive(Debug, Default)]
pub(crate) struct ServiceOptions {
    pub(crate) version: Option<String>,
    pub(crate) queue_group: Option<String>,
    pub(crate) description: Option<String>,
}

/// `micro.v1.MethodOptions`; what the .proto leaves out is `None`.
#[derive(Debug, Default)]
pub(crate) struct MethodOptions {
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) max_concurrent: Option<u32>,
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
