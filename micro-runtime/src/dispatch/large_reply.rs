//! Large replies: those that do not fit into one NATS message and are offered in parts.
//!
//! ```text
//! server                                         client
//!   │ status, Micro-Stream: v=2;u=1;l=…, ACCEPT     │
//!   ├──────────────────────────────────────────────▶│  a plain client ends here, with the status
//!   │                              grant of credits │
//!   │◀──────────────────────────────────────────────┤
//!   │ fragments, the last with END                  │
//!   ├──────────────────────────────────────────────▶│
//! ```

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{HeaderValue, Message, Subject};
use bytes::Bytes;
use tokio::time::Instant;

use crate::bus::FrameSink;
use crate::dispatch::burst_refusal::retry_after;
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::permit::PermitShare;
use crate::dispatch::server_state::ServerState;
use crate::memory_budget;
use crate::memory_budget::HeldBytes;
use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::stream::{
    Channel, FrameDestination, FrameTransport, Machine, STREAM_MEMORY, StreamHeader, StreamOptions,
};
use crate::sync::lock;
use crate::wire;
use crate::wire::header::MICRO_STREAM;
use crate::wire::{FrameMark, PayloadFormat};

/// Time until the first grant, from which on the caller is known to take the reply (docs/PROTOCOL.md, LARGE-6): less
/// than callers wait for the first part, so that a caller that has gone holds nothing after 5 s.
const GRANT_TIMEOUT: Duration = Duration::from_secs(4);

/// A reply that does not fit into one NATS message.
pub(super) struct LargeReply {
    /// Of the instance that sends it.
    pub(super) address: Arc<InstanceAddress>,
    /// Reply subject of the request.
    pub(super) subject: Subject,
    pub(super) payload: Bytes,
    pub(super) metadata: Metadata,
    /// Of the call, which counts as running until the parts are sent; `None` for a reply of introspection.
    pub(super) permit: Option<PermitShare>,
}

/// Receiver of the frames for a large reply: keeps the subject that its parts go to.
struct GrantSink {
    channel: Arc<Channel>,
    server: Arc<ServerState>,
    address: Arc<InstanceAddress>,
    /// Name of the stream.
    stream: String,
    parts_to: Arc<Mutex<Subject>>,
}

impl FrameSink for GrantSink {
    /// Takes a grant, or another frame of the caller; its reply subject is where the parts go from here on.
    ///
    /// A caller that takes the parts by hand cannot receive them under the reply subject of its request: the clients of
    /// the NATS organization drop all but the first message there. A grant with a reply subject outside the allowed
    /// prefixes is dropped, as a request would be. The reply subject of a server's frame is that of another server.
    /// What has no mark gets its RESET under its own reply subject, where a client of version 1 waits.
    fn deliver(&self, message: Message) -> bool {
        let is_of_server = FrameMark::OfServer.begins(&message.payload);
        if message.reply.is_some() && message.status.is_none() && !is_of_server {
            match self.server.reply_subject(&message, &self.address.drops) {
                Some(subject) => {
                    self.server.redirect_stream(&self.stream, &subject);
                    *lock(&self.parts_to) = wire::subject::detached(&subject);
                }
                None => return true,
            }
        }
        self.channel.deliver(message)
    }

    fn fail(&self, status: &Status) {
        self.channel.fail(status);
    }

    fn refuse(&self, status: &Status, is_opening: bool) {
        self.channel.refuse(status, is_opening);
    }
}

impl ServerState {
    /// Takes the memory of an offer of so many bytes; `None` if it is not left, which the caller is told.
    async fn hold_offer(&self, subject: &Subject, length: usize) -> Option<HeldBytes> {
        let caller = self.callers.of_reply(subject);
        let held = caller.memory.try_take(length + STREAM_MEMORY);
        if held.is_none() {
            let (headers, payload) = wire::encode_status(&retry_after(memory_budget::exceeded()));
            let none = Metadata::new();
            let refused = self.publish(subject.clone(), Some(headers), payload, &none);
            let _ = refused.await;
        }
        held
    }

    /// Offers a large reply in parts (docs/PROTOCOL.md, LARGE-3).
    ///
    /// The caller gets `status`, an error that plain clients take for the outcome, with an ACCEPT frame
    /// as its payload that names a stream. A caller that knows better grants credits on that stream
    /// within 4 s, and receives the fragments, then END with the reply's metadata as trailers, under the
    /// reply subject of its latest grant; a grant without one leaves them at the request's. So neither
    /// needs to know beforehand how large the reply will be.
    ///
    /// The handler has returned by then: a task of the server sends the parts, and holds the permit of the call. It
    /// ends with the stream, which has the timeouts of every stream, or at the end of the grace period.
    pub(super) async fn offer_in_parts(self: &Arc<Self>, reply: LargeReply, status: &Status) {
        let LargeReply {
            address,
            subject,
            payload,
            metadata,
            permit,
        } = reply;
        let Some(held) = self.hold_offer(&subject, payload.len()).await else {
            address.drops.reply_without_memory();
            return;
        };
        let stream = address.new_stream_address();
        let limits = StreamOptions::new().open_timeout(GRANT_TIMEOUT).limits();
        let max_payload = self.replying.max_payload();
        let machine = Machine::large_reply(stream.clone(), limits, max_payload, Instant::now());
        let channel = Channel::new(machine);
        let header = StreamHeader::encode_offer(payload.len());
        channel.write_only_message(payload);
        channel.finish(None, metadata);
        let subject = wire::subject::detached(&subject);
        let parts_to = Arc::new(Mutex::new(subject.clone()));
        let sink: Arc<dyn FrameSink> = Arc::new(GrantSink {
            channel: Arc::clone(&channel),
            server: Arc::clone(self),
            address: Arc::clone(&address),
            stream: stream.stream.clone(),
            parts_to: Arc::clone(&parts_to),
        });
        // Registered before the offer leaves: the grant may come before `publish` returns.
        let registered = self.register_stream(&stream.stream, &sink, &subject);
        let transport = FrameTransport {
            connection: Arc::clone(self.leaving()),
            own_subject: address.upstream(&stream),
            destination: FrameDestination::Granted(Arc::clone(&parts_to)),
            format: PayloadFormat::PROTOBUF,
        };
        let (mut headers, _) = wire::encode_status(status);
        headers.insert(MICRO_STREAM, HeaderValue::from(header.as_str()));
        let none = Metadata::new();
        let offered = self.publish(subject, Some(headers), stream.accept_frame(), &none);
        if offered.await.is_err() {
            return;
        }
        let server = Arc::clone(self);
        self.tasks.spawn(async move {
            let (_registered, _permit, _held) = (registered, permit, held);
            let mut drive = pin!(channel.drive(transport));
            tokio::select! {
                () = &mut drive => {}
                () = server.grace_ended.cancelled() => {
                    channel.reset(Reason::ShuttingDown.status("the server stops"));
                    drive.await;
                }
            }
            let parts_to = lock(&parts_to).clone();
            server.failure_of(&channel, &parts_to);
        });
    }
}
