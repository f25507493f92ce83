//! Sends the one reply that each request gets, in the cheapest way that delivers it.
//!
//! | reply | way | why |
//! |---|---|---|
//! | success in protobuf without metadata | [`Connection::try_publish`](crate::bus::Connection::try_publish), in place | by far the most; saves the three futures of `publish`, 0.23 µs of 2.3 µs of a call (docs/PERFORMANCE.md) |
//! | any other, and that one where the connection's queue is full | [`ServerState::publish`] | waits for the queue instead of losing the reply |
//! | success above `max_payload` | [`ServerState::offer_in_parts`]: an error for callers that know no better, which offers the reply as a stream | NATS closes the connection of a client that publishes more than `max_payload` |
//! | failure above `max_payload`, or success of which no instance can send parts | a status in its place, with short text and without details and metadata | the caller must hear of an end, or waits until its deadline |
//!
//! A reply that the connection does not take is logged and lost, and its caller runs into its deadline. The
//! outcome is counted all the same: it was the handler's.
//!
//! `max_payload` is NATS's limit of one message with its headers, 1 MiB by default. It is looked up for each
//! reply, since it may differ between the servers of a cluster and change with a reconnect.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use async_nats::Subject;
use bytes::Bytes;

use crate::bus::PublishError;
use crate::dispatch::format::Format;
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::server_state::ServerState;
use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::wire;

/// Maximum length in bytes of a reply that is not kept for an offer in parts: it fits into one message
/// of any usual `max_payload` (1 MiB by default). A kept reply shares its buffer, and so costs two
/// reference counts.
const INLINE_REPLY_LEN: usize = 4096;

static PROTOBUF: Format = Format::PROTOBUF;

/// The one reply to a request, with all that decides how it is sent.
pub(super) struct OutgoingReply<'a> {
    subject: Subject,
    result: Result<Bytes, Status>,
    metadata: Metadata,
    format: &'a Format,
    address: Option<&'a Arc<InstanceAddress>>,
}

impl<'a> OutgoingReply<'a> {
    /// Makes a reply in protobuf without metadata; `result` is the encoded message, or the failure.
    pub(super) fn new(subject: Subject, result: Result<Bytes, Status>) -> Self {
        Self {
            subject,
            result,
            metadata: Metadata::new(),
            format: &PROTOBUF,
            address: None,
        }
    }

    pub(super) fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Marks a reply that is encoded in `format` already, and writes a failure in it.
    pub(super) fn in_format(mut self, format: &'a Format) -> Self {
        self.format = format;
        self
    }

    /// Allows a reply that does not fit into one NATS message to be sent in parts, by the instance with
    /// this address.
    pub(super) fn in_parts_from(mut self, address: &'a Arc<InstanceAddress>) -> Self {
        self.address = Some(address);
        self
    }
}

impl ServerState {
    /// Sends a reply, see the table of this file. Returns when the connection has taken it.
    ///
    /// The outcome must have been counted before.
    pub(super) async fn send_reply(self: &Arc<Self>, reply: OutgoingReply<'_>) {
        let OutgoingReply {
            subject,
            result,
            metadata,
            format,
            address,
        } = reply;
        let length = result.as_ref().map_or(0, Bytes::len);
        let kept = result.as_ref().ok().filter(|_| length > INLINE_REPLY_LEN);
        let kept = kept.cloned();
        let (headers, payload, failure) = match result {
            Ok(message) => {
                let mut headers = None;
                let payload = wire::write_payload(&mut headers, format.payloads(), message);
                if headers.is_none() && metadata.is_empty() {
                    let publishing = poll_fn(|cx| {
                        Poll::Ready(self.connection.try_publish(&subject, &payload, cx))
                    });
                    if let Poll::Ready(Ok(())) = publishing.await {
                        return;
                    }
                }
                (headers, payload, None)
            }
            Err(status) => {
                let (headers, payload) = format.encode_status(&status);
                (Some(headers), payload, Some(status))
            }
        };
        let published = self.publish(subject.clone(), headers, payload, &metadata);
        match published.await {
            Ok(()) => {}
            Err(PublishError::TooLarge { max }) => {
                let status = match failure {
                    Some(status) => status.shortened(),
                    None => too_large(length, max),
                };
                match (address, kept) {
                    (Some(address), Some(payload)) => {
                        self.offer_in_parts(address, subject, &status, payload, metadata)
                            .await;
                    }
                    _ => self.send_short_failure(subject, &status).await,
                }
            }
            Err(PublishError::Failed(error)) => {
                tracing::warn!(%error, "a reply could not be sent");
            }
        }
    }

    /// Sends a status in place of a reply that does not fit, without its metadata and in protobuf, the
    /// shortest form that every caller reads.
    async fn send_short_failure(&self, subject: Subject, status: &Status) {
        tracing::warn!(%status, "a reply does not fit into one NATS message");
        let (headers, payload) = wire::encode_status(status);
        let none = Metadata::new();
        let published = self.publish(subject, Some(headers), payload, &none);
        if let Err(PublishError::Failed(error)) = published.await {
            tracing::warn!(%error, "a reply could not be sent");
        }
    }
}

fn too_large(length: usize, max: usize) -> Status {
    Reason::TooLarge.status(
        format!(
            "the reply takes {length} bytes, which does not fit into one NATS message of {max} bytes with its headers"
        ),
    )
}
