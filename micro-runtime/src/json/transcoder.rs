//! Messages as canonical proto3 JSON, by their descriptors: JSON to protobuf and back. Pure.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::DynamicMessage;

use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::json::failure;
use crate::json::schema::Schema;
use crate::json::text::{read, write};
use crate::status::{Code, Reason, Status};

/// A request's JSON may be so long, in bytes.
const LONGEST: usize = 4 * 1024 * 1024;

/// The descriptors of a service that is served, read when the first request in JSON comes.
pub(crate) struct LazyTranscoder {
    service: &'static ServiceDescriptor,
    transcoder: OnceLock<Result<Arc<Transcoder>, Status>>,
}

/// Turns the messages of one service around at its edge.
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

    /// # Errors
    ///
    /// `UNIMPLEMENTED` if the service embeds no descriptors, or such that nobody here can read.
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
    /// A request in JSON, as protobuf.
    pub(crate) fn request(
        &self,
        method: &'static MethodDescriptor,
        json: &[u8],
    ) -> Result<Bytes, Status> {
        if json.len() > LONGEST {
            return Err(Reason::TooLarge.status(format!(
                "the request has {} bytes of JSON, and the limit is {LONGEST}; send protobuf",
                json.len()
            )));
        }
        let message = match self.schema.method(method.name) {
            Some(found) => read(&found.input(), json),
            None => Err(missing(method)),
        };
        message
            .map(|message| message.encode_to_vec().into())
            .map_err(|error| {
                Reason::Undecodable.status(format!(
                    "the request is not a {} in JSON: {error}",
                    method.input
                ))
            })
    }

    /// A reply in protobuf, as JSON.
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
                    "the reply, a {}, cannot be said in JSON: {error}",
                    method.output
                ),
            )
        })
    }

    /// `google.rpc.Status` in JSON, of a failure whose details are `details`.
    pub(crate) fn failure(&self, status: &Status, details: &[prost_types::Any]) -> Bytes {
        failure::write_failure(self.schema.pool(), status, details)
    }
}

fn missing(method: &MethodDescriptor) -> String {
    format!(
        "the embedded descriptors have no method {}",
        method.full_name
    )
}
