//! Stands in for `json` where the feature is off: nobody is served in JSON.

use std::sync::Arc;

use bytes::Bytes;

use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::status::{Reason, Status};

/// What would read the descriptors of a service.
pub(crate) struct LazyTranscoder;

/// There is none.
pub(crate) enum Transcoder {}

impl LazyTranscoder {
    pub(crate) fn new(_: &'static ServiceDescriptor) -> Self {
        Self
    }

    pub(crate) fn get(&self) -> Result<Arc<Transcoder>, Status> {
        Err(Reason::ContentType.status(
            "JSON is not served here: send protobuf, without the header `Content-Type`, or build \
             the server with the feature `json` of micro-runtime",
        ))
    }
}

impl Transcoder {
    pub(crate) fn request(&self, _: &'static MethodDescriptor, _: &[u8]) -> Result<Bytes, Status> {
        match *self {}
    }

    pub(crate) fn reply(&self, _: &'static MethodDescriptor, _: Bytes) -> Result<Bytes, Status> {
        match *self {}
    }

    pub(crate) fn failure(&self, _: &Status, _: &[prost_types::Any]) -> Bytes {
        match *self {}
    }
}

/// Code, text and details of a failure in JSON.
pub(crate) fn read_failure(_: &[u8]) -> Option<(i32, String, Vec<prost_types::Any>)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Code;

    #[test]
    fn a_caller_learns_what_to_do() {
        let service = Box::leak(Box::new(ServiceDescriptor::new("a.B", "a", "B", &[])));
        let status = LazyTranscoder::new(service).get().err().unwrap();
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains("feature `json`"), "{status}");
    }
}
