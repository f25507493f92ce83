//! `StreamLabel`: the names of a stream's messages in the texts of its failures.

use std::fmt;

use crate::descriptor::{MethodDescriptor, MethodKind};
use crate::status::{Reason, Status};

/// The method that a stream calls, as one end names it. Without a method, as in tests of the machine, the texts are of
/// "the stream".
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLabel {
    method: Option<&'static MethodDescriptor>,
    pub(super) is_client: bool,
}

/// Name of a message that this end receives, as in "the request to a.B.C".
struct ReceivedName(StreamLabel);

impl StreamLabel {
    pub(super) const fn new(method: Option<&'static MethodDescriptor>, is_client: bool) -> Self {
        Self { method, is_client }
    }

    /// Checks the length of a message that this end receives, or the announced one before any of it is sent: of a
    /// request at the server, of a reply at the client. `max` is the limit of this end.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED`, with the option that raises the limit.
    #[inline]
    pub(crate) fn check_len(
        method: &'static MethodDescriptor,
        is_client: bool,
        length: u64,
        max: usize,
    ) -> Result<(), Status> {
        if length <= max as u64 {
            return Ok(());
        }
        let label = Self::new(Some(method), is_client);
        Err(label.too_long(Some(length), max))
    }

    /// Returns the name of the whole stream.
    pub(super) fn name(&self) -> &'static str {
        self.method.map_or("the stream", |method| method.full_name)
    }

    /// Returns whether the stream carries a large message of a unary call.
    pub(super) fn is_unary(&self) -> bool {
        let kind = self.method.map(|method| method.kind);
        kind == Some(MethodKind::Unary)
    }

    /// Returns the failure of a message of which more has arrived than this end's limit for one message.
    pub(super) fn too_long_to_receive(&self, max: usize) -> Status {
        self.too_long(None, max)
    }

    fn too_long(&self, length: Option<u64>, max: usize) -> Status {
        let (end, options) = match self.is_client {
            true => ("client", "`ClientOptions::stream_options`"),
            false => (
                "server",
                "`ServiceOptions::stream_options` or `Server::stream_options`",
            ),
        };
        let name = ReceivedName(*self);
        let limit = match length {
            Some(length) => {
                format!("takes {length} bytes, above the limit of its {end}, {max} bytes")
            }
            None => format!("takes more than {max} bytes, the limit of its {end}"),
        };
        Reason::TooLarge.status(format!(
            "{name} {limit}; raise `StreamOptions::max_message_bytes` in {options}"
        ))
    }

    /// Returns the failure of headers or trailers that do not fit into a NATS message of `max` bytes.
    pub(super) fn metadata_too_long(&self, what: &str, length: usize, max: usize) -> Status {
        Reason::TooLarge.status(format!(
            "{what} of {} take {length} bytes, which do not fit into one NATS message of {max} bytes: \
             `max_payload` of the nats-server",
            self.name()
        ))
    }
}

impl fmt::Display for ReceivedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(label) = self;
        let Some(method) = label.method else {
            return f.write_str("a message of the stream");
        };
        let is_request = !label.is_client;
        let is_single = match method.kind {
            MethodKind::Unary => true,
            MethodKind::ServerStreaming => is_request,
            MethodKind::ClientStreaming => !is_request,
            MethodKind::Bidirectional => false,
        };
        let article = if is_single { "the" } else { "a" };
        let kind = if is_request { "request to" } else { "reply of" };
        write!(f, "{article} {kind} {}", method.full_name)
    }
}
