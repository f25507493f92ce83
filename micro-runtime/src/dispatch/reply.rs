//! Sends the one reply that each request gets, in the cheapest way that delivers it.
//!
//! | reply | way | why |
//! |---|---|---|
//! | success in protobuf without metadata | [`Connection::try_publish`](crate::bus::Connection::try_publish), in place | by far the most; saves the three futures of `publish`, 0.23 µs of 2.3 µs of a call (docs/PERFORMANCE.md) |
//! | any other, and that one where the connection's queue is full | [`ServerState::publish`] | waits for the queue instead of losing the reply |
//! | success above `max_payload` | [`ServerState::offer_in_parts`]: an error for callers that know no better, which offers the reply as a stream | NATS closes the connection of a client that publishes more than `max_payload` |
//! | failure above `max_payload`, or success to a call of all instances | a status in its place, with short text and without details and metadata | the caller must hear of an end, or waits until its deadline |
//!
//! A reply that the connection does not take is counted, logged and lost, and its caller runs into its deadline. The
//! outcome is counted all the same: it was the handler's.
//!
//! `max_payload` is NATS's limit of one message with its headers, 1 MiB by default. It is looked up for each
//! reply, since it may differ between the servers of a cluster and change with a reconnect.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use async_nats::Subject;
use bytes::Bytes;

use crate::bus::PublishError;
use crate::dispatch::burst_refusal::retry_after;
use crate::dispatch::drop_counts::DropCounts;
use crate::dispatch::format::Format;
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::large_reply::LargeReply;
use crate::dispatch::permit::Permit;
use crate::dispatch::server_state::ServerState;
use crate::memory_budget;
use crate::memory_budget::HeldBytes;
use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::wire;

/// Length in bytes of a reply up to which it is not counted while it waits for the connection: the limits of calls
/// bound it.
const UNCOUNTED_REPLY_LEN: usize = 4096;

/// The sending of a reply that the connection did not take at once, or that is no plain success.
pub(super) type PendingReply<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

static PROTOBUF: Format = Format::PROTOBUF;

/// The one reply to a request, with all that decides how it is sent.
pub(super) struct OutgoingReply<'a> {
    subject: Subject,
    result: Result<Bytes, Status>,
    metadata: Metadata,
    format: &'a Format,
    address: Option<&'a Arc<InstanceAddress>>,
    permit: Option<&'a mut Permit>,
    responder: Option<&'a str>,
    drops: &'a DropCounts,
}

impl<'a> OutgoingReply<'a> {
    /// Makes a reply in protobuf without metadata; `result` is the encoded message, or the failure.
    /// What is not sent is counted in `drops`, those of the method or the service that replies.
    pub(super) fn new(
        subject: Subject,
        result: Result<Bytes, Status>,
        drops: &'a DropCounts,
    ) -> Self {
        Self {
            subject,
            result,
            metadata: Metadata::new(),
            format: &PROTOBUF,
            address: None,
            permit: None,
            responder: None,
            drops,
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

    /// Names the call that is replied to. Its instance may send the reply in parts, and it counts as running until they
    /// are sent.
    pub(super) fn of_call(mut self, permit: &'a mut Permit) -> Self {
        self.permit = Some(permit);
        self
    }

    /// Allows a reply that does not fit into one NATS message to be sent in parts, by the instance with
    /// this address.
    pub(super) fn in_parts_from(mut self, address: &'a Arc<InstanceAddress>) -> Self {
        self.address = Some(address);
        self
    }

    /// Names the instance that replies to a call of all instances. Such a reply is never sent in parts: its caller
    /// takes one message of each.
    pub(super) fn signed_by(mut self, responder: Option<&'a str>) -> Self {
        self.responder = responder;
        self
    }
}

impl ServerState {
    /// Sends a success without metadata in place, if its format needs no header either and the connection's queue has
    /// room. Returns whether it did.
    #[inline]
    pub(super) fn try_send(&self, subject: &Subject, message: &Bytes, format: &Format) -> bool {
        wire::as_plain_payload(format.payloads(), message).is_some_and(|payload| {
            let published = self.replying.try_publish(subject, payload);
            matches!(published, Poll::Ready(Ok(())))
        })
    }

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
            permit,
            responder,
            drops,
        } = reply;
        let metadata = metadata.signed(responder);
        let (headers, payload) = match &result {
            Ok(message) => {
                if metadata.is_empty() && self.try_send(&subject, message, format) {
                    return;
                }
                // Kept: also of a short one, headers or a small `max_payload` may leave no room.
                let message = message.clone();
                let mut headers = None;
                let payload = wire::write_payload(&mut headers, format.payloads(), message);
                (headers, payload)
            }
            Err(status) => {
                let (headers, payload) = format.encode_status(status);
                (Some(headers), payload)
            }
        };
        // It may have to wait for the connection.
        let Some(held) = self.hold_reply(payload.len()) else {
            drops.reply_without_memory();
            let status = retry_after(memory_budget::exceeded());
            let failing = self.send_short_failure(subject, &status, format, responder, drops);
            return failing.await;
        };
        let published = self.publish(subject.clone(), headers, payload, &metadata);
        let published = published.await;
        drop(held);
        match published {
            Ok(()) => {}
            Err(PublishError::TooLarge { max }) => {
                let reply = OutgoingReply {
                    subject,
                    result,
                    metadata,
                    format,
                    address,
                    permit,
                    responder,
                    drops,
                };
                self.replace(reply, max).await;
            }
            // The caller has heard that the connection is lost, or will hear nothing.
            Err(error) => {
                drops.unsent_reply(error.into_status("a reply"));
            }
        }
    }

    /// Takes the memory of a reply while it waits for the connection; `None` if it is not left.
    fn hold_reply(&self, length: usize) -> Option<HeldBytes> {
        match length > UNCOUNTED_REPLY_LEN {
            true => self.callers.memory().try_take(length),
            false => Some(HeldBytes::uncounted()),
        }
    }

    /// Offers a reply that does not fit into one NATS message of `max` bytes in parts, or sends a status in its place.
    async fn replace(self: &Arc<Self>, reply: OutgoingReply<'_>, max: usize) {
        let OutgoingReply {
            subject,
            result,
            metadata,
            format,
            address,
            permit,
            responder,
            drops,
        } = reply;
        let method = permit.as_ref().map(|permit| permit.method());
        let name = method.map(|method| method.descriptor.full_name);
        let address = method.map(|method| &method.address).or(address).cloned();
        let status = match &result {
            Ok(message) => too_large(name, message.len(), max, responder.is_some()),
            Err(status) => status.shortened(),
        };
        let (Some(address), Ok(payload), None) = (address, result, responder) else {
            drops.oversized_reply(&status);
            let failing = self.send_short_failure(subject, &status, format, responder, drops);
            return failing.await;
        };
        let reply = LargeReply {
            address,
            subject,
            payload,
            metadata,
            permit: permit.map(Permit::share),
        };
        self.offer_in_parts(reply, &status).await;
    }

    /// Sends a status in place of a reply that does not fit, without its metadata.
    async fn send_short_failure(
        &self,
        subject: Subject,
        status: &Status,
        format: &Format,
        responder: Option<&str>,
        drops: &DropCounts,
    ) {
        let (headers, payload) = format.encode_status(status);
        let signature = Metadata::new().signed(responder);
        let published = self.publish(subject, Some(headers), payload, &signature);
        if let Err(error) = published.await {
            drops.unsent_reply(error.into_status("a reply"));
        }
    }
}

fn too_large(name: Option<&str>, length: usize, max: usize, is_to_all: bool) -> Status {
    let of = if name.is_some() { " of " } else { "" };
    let advice = match is_to_all {
        true => "a call of this instance alone receives it in parts",
        false => "callers built on micro receive it in parts",
    };
    Reason::TooLarge.status(format!(
        "the reply{of}{} takes {length} bytes, which does not fit into one NATS message of {max} bytes with its headers: \
         `max_payload` of the nats-server; {advice}",
        name.unwrap_or_default()
    ))
}
