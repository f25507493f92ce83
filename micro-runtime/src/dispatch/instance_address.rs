//! The subjects under which one instance of a service is reached alone.

use async_nats::Subject;

use crate::json::LazyTranscoder;
use crate::stream::StreamAddress;
use crate::wire::subject::ServiceBase;

/// Where one instance of a service can be reached alone.
pub(crate) struct InstanceAddress {
    /// Reads JSON for its methods.
    pub(crate) json: LazyTranscoder,
    pub(crate) base: ServiceBase,
    pub(crate) instance: String,
}

impl InstanceAddress {
    /// Names a stream so that nobody can guess it.
    pub(super) fn new_stream(&self) -> StreamAddress {
        StreamAddress {
            instance: self.instance.clone(),
            stream: format!("{:032x}", rand::random::<u128>()),
        }
    }

    /// Where the frames of a stream arrive.
    pub(super) fn up(&self, peer: &StreamAddress) -> Subject {
        self.base.upstream(&peer.instance, &peer.stream)
    }
}
