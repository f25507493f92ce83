//! `InstanceAddress`: the subjects under which one instance of a service is reached alone.

use async_nats::Subject;

use crate::dispatch::drop_counts::DropCounts;
use crate::stream::StreamAddress;
use crate::wire::subject::ServiceBase;

/// Service base and id of one instance, from which the subjects for it alone are made.
pub(crate) struct InstanceAddress {
    pub(crate) base: ServiceBase,
    /// Id of the instance, one token.
    pub(crate) instance: String,
    /// First digits of the names of its streams, random for each server: another process may have the same id, as while
    /// a new one takes over, and gets the frames of these streams as well.
    stream_prefix: String,
    /// Requests of no method that were dropped, and replies to such requests that were not sent.
    pub(crate) drops: DropCounts,
}

impl InstanceAddress {
    /// Makes the address of an instance that is about to start.
    pub(crate) fn new(service: &'static str, base: ServiceBase, instance: String) -> Self {
        Self {
            base,
            instance,
            drops: DropCounts::new(service),
            stream_prefix: format!("{:016x}", rand::random::<u64>()),
        }
    }

    /// Makes the address of a new stream to this instance.
    ///
    /// Its name ends with 128 random bits. Any peer that may publish to the service could send frames to a
    /// stream whose name it knew, and names appear in frames only (docs/PROTOCOL.md, STREAM-7).
    pub(super) fn new_stream_address(&self) -> StreamAddress {
        StreamAddress {
            instance: self.instance.clone(),
            stream: format!("{}{:032x}", self.stream_prefix, rand::random::<u128>()),
        }
    }

    /// Returns whether this server has opened the stream of this name, be it that it has ended since.
    pub(super) fn has_opened(&self, stream: &str) -> bool {
        stream.starts_with(&self.stream_prefix)
    }

    /// Returns the subject on which the frames of a stream arrive.
    pub(super) fn upstream(&self, stream: &StreamAddress) -> Subject {
        self.base.upstream(&stream.instance, &stream.stream)
    }
}
