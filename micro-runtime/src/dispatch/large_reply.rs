//! Large replies: those that do not fit into one NATS message and are offered in parts.
//!
//! ```text
//! server                                         client
//!   │ status, Micro-Stream: v=1;u=1, ACCEPT         │
//!   ├──────────────────────────────────────────────▶│  a plain client ends here, with the status
//!   │                              grant of credits │
//!   │◀──────────────────────────────────────────────┤
//!   │ fragments, the last with END                  │
//!   ├──────────────────────────────────────────────▶│
//! ```

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use async_nats::{HeaderValue, Subject};
use bytes::Bytes;

use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::server_state::ServerState;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::{Channel, FrameDestination, FrameTransport, Machine, StreamOptions};
use crate::wire;
use crate::wire::PayloadFormat;
use crate::wire::header::MICRO_STREAM;

/// Value of `Micro-Stream` in an offer: version 1, and the one message of a unary call.
const PARTS_OFFER: &str = "v=1;u=1";

impl ServerState {
    /// Offers a large reply in parts (docs/PROTOCOL.md, "Large unary messages").
    ///
    /// The caller gets `status`, an error that plain clients take for the outcome, with an ACCEPT frame
    /// as its payload that names a stream. A caller that knows better grants credits on that stream
    /// within 5 s, and receives the fragments, then END with the reply's metadata as trailers. So
    /// neither needs to know beforehand how large the reply will be.
    ///
    /// The handler has returned by then: a task of the server sends the parts and holds no permit. It
    /// ends with the stream, which has the timeouts of every stream, or at the end of the grace period.
    pub(super) async fn offer_in_parts(
        self: &Arc<Self>,
        address: &Arc<InstanceAddress>,
        subject: Subject,
        status: &Status,
        payload: Bytes,
        metadata: Metadata,
    ) {
        let stream = address.new_stream_address();
        let limits = StreamOptions::new().limits();
        let max_payload = self.connection.max_payload();
        let machine = Machine::large_reply(stream.clone(), limits, max_payload, Instant::now());
        let channel = Channel::new(machine);
        channel.write_only_message(payload);
        channel.finish(None, metadata);
        let sink = Arc::clone(&channel);
        // Registered before the offer leaves: the grant may come before `publish` returns.
        let inbound = self.connection.mux().register_stream(&stream.stream, sink);
        let transport = FrameTransport {
            connection: Arc::clone(&self.connection),
            own_subject: address.upstream(&stream),
            destination: FrameDestination::Subject(subject.clone()),
            format: PayloadFormat::PROTOBUF,
        };
        let (mut headers, _) = wire::encode_status(status);
        headers.insert(MICRO_STREAM, HeaderValue::from(PARTS_OFFER));
        let none = Metadata::new();
        let offered = self.publish(subject, Some(headers), stream.accept_frame(), &none);
        if offered.await.is_err() {
            return;
        }
        let grace_ended = self.grace_ended.clone();
        self.tasks.spawn(async move {
            let _inbound = inbound;
            let mut drive = pin!(channel.drive(transport));
            tokio::select! {
                () = &mut drive => {}
                () = grace_ended.cancelled() => {
                    channel.reset(Status::unavailable("the server stops"));
                    drive.await;
                }
            }
        });
    }
}
