//! Stands in for `json` without the feature: requests in JSON are rejected, and no descriptor is read.
//!
//! `Transcoder` has no values here, so that the compiler removes the code that converts.

use std::sync::Arc;

use bytes::Bytes;

use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::status::{Reason, Status};

/// Stand-in for the transcoder of a service.
pub(crate) struct LazyTranscoder;

/// Converter between JSON and protobuf, of which there is none.
pub(crate) enum Transcoder {}

impl LazyTranscoder {
    pub(crate) fn new(_: &'static ServiceDescriptor) -> Self {
        Self
    }

    /// Returns an error.
    ///
    /// # Errors
    ///
    /// `UNIMPLEMENTED`, with what the caller or the owner of the server can do.
    pub(crate) fn get(&self) -> Result<Arc<Transcoder>, Status> {
        Err(Reason::ContentType.status(
            "JSON is not served here: send protobuf, without the header `Content-Type`, or build \
             the server with the feature `json` of micro-runtime",
        ))
    }
}

impl Transcoder {
    pub(crate) fn request<H>(
        &self,
        _: &'static MethodDescriptor,
        _: &[u8],
        _: impl FnOnce(usize) -> Result<H, Status>,
    ) -> Result<Bytes, Status> {
        match *self {}
    }

    pub(crate) fn reply(&self, _: &'static MethodDescriptor, _: Bytes) -> Result<Bytes, Status> {
        match *self {}
    }

    pub(crate) fn failure(&self, _: &Status, _: &[prost_types::Any]) -> Bytes {
        match *self {}
    }
}

/// Reads no failure in JSON: the text in the headers stands in for it.
pub(crate) fn read_failure(_: &[u8], _: usize) -> Option<(i32, String, Vec<prost_types::Any>)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Code;

    #[test]
    fn a_request_in_json_is_rejected_with_advice() {
        let service = Box::leak(Box::new(ServiceDescriptor::new("a.B", "a", "B", &[])));
        let status = LazyTranscoder::new(service).get().err().unwrap();
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains("feature `json`"), "{status}");
    }
}
