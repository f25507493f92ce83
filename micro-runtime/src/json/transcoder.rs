//! `Transcoder`: converts requests, replies and failures of one service between JSON and protobuf.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::DynamicMessage;

use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::json::failure;
use crate::json::schema::Schema;
use crate::json::text::{read, write};
use crate::json::transcoding_size::transcoding_size;
use crate::status::{Code, Reason, Status};

/// Maximum length of a request in JSON, in bytes. A parsed message can take many times the memory of its text.
const MAX_REQUEST_LEN: usize = 4 * 1024 * 1024;

/// Transcoder of a service that is served, made on the first request in JSON: parsing descriptors takes
/// milliseconds and memory, and most services never get one.
pub(crate) struct LazyTranscoder {
    service: &'static ServiceDescriptor,
    transcoder: OnceLock<Result<Arc<Transcoder>, Status>>,
}

/// Converts the messages of one service between JSON and protobuf.
pub(crate) struct Transcoder {
    schema: Schema,
}

impl LazyTranscoder {
    pub(crate) fn new(service: &'static ServiceDescriptor) -> Self {
        Self {
            service,
            transcoder: OnceLock::new(),
        }
    }

    /// Returns the transcoder; the descriptors are parsed once, whatever the result.
    ///
    /// # Errors
    ///
    /// `UNIMPLEMENTED` if the service embeds no descriptors, or such that cannot be used.
    pub(crate) fn get(&self) -> Result<Arc<Transcoder>, Status> {
        let read = || {
            let set = Bytes::from_static(self.service.file_descriptor_set);
            match Schema::read(set, self.service.full_name) {
                Ok(schema) => Ok(Arc::new(Transcoder { schema })),
                Err(error) => Err(Reason::ContentType.status(format!(
                    "{} cannot be called in JSON, only in protobuf: {error}",
                    self.service.full_name
                ))),
            }
        };
        self.transcoder.get_or_init(read).clone()
    }
}

impl Transcoder {
    /// Converts a request from JSON to protobuf.
    ///
    /// `hold` gets the bytes of memory that it takes meanwhile; its result is kept to the end.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for text that is not the method's message, `RESOURCE_EXHAUSTED` for more than 4 MiB; the
    /// error of `hold`.
    pub(crate) fn request<H>(
        &self,
        method: &'static MethodDescriptor,
        json: &[u8],
        hold: impl FnOnce(usize) -> Result<H, Status>,
    ) -> Result<Bytes, Status> {
        check_request_len(method, json.len())?;
        let found = self.schema.method(method.name);
        let input = found.map(|found| found.input());
        let bytes = input.as_ref().map(|input| transcoding_size(input, json));
        let _held = hold(bytes.unwrap_or_default())?;
        let message = match input {
            Some(input) => read(&input, json),
            None => Err(missing(method)),
        };
        message
            .map(|message| message.encode_to_vec().into())
            .map_err(|error| {
                Reason::Undecodable.status(format!(
                    "the request is no {} in JSON: {error}",
                    method.input
                ))
            })
    }

    /// Converts a reply from protobuf to JSON.
    ///
    /// # Errors
    ///
    /// `INTERNAL` for a reply with an `Any` of an unknown type, which JSON cannot express.
    pub(crate) fn reply(
        &self,
        method: &'static MethodDescriptor,
        reply: Bytes,
    ) -> Result<Bytes, Status> {
        let text = match self.schema.method(method.name) {
            Some(found) => DynamicMessage::decode(found.output(), reply)
                .map_err(|error| error.to_string())
                .and_then(|reply| write(&reply)),
            None => Err(missing(method)),
        };
        text.map(Bytes::from).map_err(|error| {
            Reason::Undecodable.status_with(
                Code::Internal,
                format!(
                    "the reply, {}, cannot be written as JSON: {error}",
                    method.output
                ),
            )
        })
    }

    /// Writes a failure in JSON; `details` are all that go on the wire, the runtime's own first.
    pub(crate) fn failure(&self, status: &Status, details: &[prost_types::Any]) -> Bytes {
        failure::write_failure(self.schema.pool(), status, details)
    }
}

/// Checks the length of a request in JSON, at the server, and at a client before it is sent.
///
/// # Errors
///
/// `RESOURCE_EXHAUSTED` for more than 4 MiB.
pub(crate) fn check_request_len(method: &MethodDescriptor, length: usize) -> Result<(), Status> {
    if length <= MAX_REQUEST_LEN {
        return Ok(());
    }
    Err(Reason::TooLarge.status(format!(
        "the request to {} takes {length} bytes of JSON, above the limit of {MAX_REQUEST_LEN}, which is fixed: send protobuf",
        method.full_name
    )))
}

fn missing(method: &MethodDescriptor) -> String {
    format!(
        "the embedded descriptors have no method {}",
        method.full_name
    )
}
