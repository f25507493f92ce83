//! Unary calls whose request or reply does not fit into one NATS message: each is carried by a stream of
//! one message (docs/PROTOCOL.md, "Large unary messages").

use std::sync::Arc;

use async_nats::HeaderValue;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;

use crate::bus::{ReceivedReply, ReplySlot};
use crate::client::call_errors;
use crate::client::drive_stream::drive;
use crate::client::open_stream::{OpenStream, WaitsFor};
use crate::client::request::OutgoingRequest;
use crate::context::TimeLimit;
use crate::status::{Code, Status};
use crate::stream::{
    Channel, FrameDestination, FrameTransport, Machine, MessageReader, StreamAddress, StreamHeader,
    StreamLabel, StreamOptions,
};
use crate::wire;
use crate::wire::header::{MICRO_STREAM, find};

/// Makes a unary call whose request is too large.
///
/// A failure is final, unless there are no responders: a request that was cut into frames is not sent again.
pub(crate) async fn call_in_parts(
    request: OutgoingRequest<Bytes>,
    limit: TimeLimit,
    span: Span,
) -> Result<ReceivedReply, Status> {
    let stream = OpenStream {
        request,
        stream_options: StreamOptions::new(),
        limit: Some(limit),
        waits_for: WaitsFor::Accept,
    };
    let mut started = stream.open_in_parts(&span).await?;
    read_whole(&mut started.reader).await
}

/// Receives a reply that is too large. `offer` is the first reply, with which the server names the
/// stream that carries the reply proper.
///
/// The stream continues on the reply slot of the request, whose subject the grant carries as its reply subject.
///
/// # Errors
///
/// [`Reason::WireVersion`](crate::Reason::WireVersion) for an offer of another version, whose frames may mean
/// something else; `RESOURCE_EXHAUSTED` for one that is longer than this client takes.
pub(crate) async fn receive_in_parts(
    request: &OutgoingRequest<Bytes>,
    offer: &ReceivedReply,
    slot: ReplySlot,
    limit: Option<TimeLimit>,
) -> Result<ReceivedReply, Status> {
    let header = offer.headers();
    let header = header.and_then(|headers| find(headers, &MICRO_STREAM));
    let header = header.map(HeaderValue::as_str).unwrap_or_default();
    let announced = StreamHeader::decode_offer(header, request.method_name())?;
    let server = StreamAddress::read(offer.payload().clone())?;
    let limits = request.client.stream_options().limits();
    let connection = request.client.connection();
    let now = Instant::now();
    let machine = Machine::large_reply_client(
        server,
        limits,
        connection.max_payload(),
        limit.map(|limit| limit.deadline),
        now,
    )
    .of_call(request.descriptor(), limit);
    let channel = Channel::new(machine);
    let sink = Arc::clone(&channel);
    let own_subject = slot
        .attach_stream(sink)
        .ok_or_else(|| call_errors::disconnected(request.method_name()))?;
    let transport = FrameTransport {
        connection: Arc::clone(connection),
        own_subject,
        destination: FrameDestination::ServiceBase(request.client.base().clone()),
        format: request.client.format().of_frames(),
    };
    // Reset before it is driven, so that the server drops the reply at once, and no part of it is sent.
    let max = limits.max_message_bytes;
    if let Err(status) = StreamLabel::check_len(request.descriptor(), true, announced, max) {
        channel.reset(status);
    }
    // The call is observed by the unary exchange; the stream below it is not counted by itself.
    let (_, observed) = oneshot::channel();
    let parent = request.options.message.parent.clone();
    tokio::spawn(drive(
        Arc::clone(&channel),
        slot,
        transport,
        parent,
        observed,
    ));
    read_whole(&mut MessageReader::client(channel)).await
}

/// Reads the only message of a stream, with headers and trailers, as the reply of a unary call.
async fn read_whole(reader: &mut MessageReader) -> Result<ReceivedReply, Status> {
    let message = reader.next_bytes().await?;
    let payload = message
        .ok_or_else(|| Status::new(Code::Internal, "the server ended the call without a reply"))?;
    if reader.next_bytes().await?.is_some() {
        let text = "the server sent more than one reply";
        return Err(Status::new(Code::Internal, text));
    }
    let mut headers = None;
    wire::encode_metadata(&mut headers, &reader.channel().headers());
    wire::encode_metadata(&mut headers, &reader.channel().trailers());
    Ok(ReceivedReply::new(headers, payload))
}
