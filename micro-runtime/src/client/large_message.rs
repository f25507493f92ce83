//! Unary calls whose request or reply does not fit into one NATS message: each is carried by a stream of
//! one message (docs/PROTOCOL.md, "Large unary messages").

use std::sync::Arc;
use std::time::Instant;

use async_nats::{Message, Subject};
use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::Span;

use crate::bus::ReplySlot;
use crate::client::open_stream::{OpenStream, WaitsFor, drive};
use crate::client::request::OutgoingRequest;
use crate::status::{Code, Status};
use crate::stream::{
    Channel, FrameDestination, FrameTransport, Machine, MessageReader, StreamAddress, StreamOptions,
};
use crate::wire;

/// Makes a unary call whose request is too large.
///
/// A failure is final: a request that was cut into frames is not sent again.
pub(crate) async fn call_in_parts(
    request: OutgoingRequest<Bytes>,
    deadline: Instant,
    span: Span,
) -> Result<Message, Status> {
    let stream = OpenStream {
        request,
        stream_options: StreamOptions::new(),
        deadline: Some(deadline),
        waits_for: WaitsFor::Accept,
    };
    let mut started = stream.open_in_parts(&span).await?;
    read_whole(&mut started.reader).await
}

/// Receives a reply that is too large. `offer` is the first reply, with which the server names the
/// stream that carries the reply proper.
///
/// The stream continues on the reply slot of the request: only its subject is known to the server.
pub(crate) async fn receive_in_parts(
    request: &OutgoingRequest<Bytes>,
    offer: &Message,
    slot: ReplySlot,
    deadline: Instant,
) -> Result<Message, Status> {
    let server = StreamAddress::read(offer.payload.clone())?;
    let limits = request.client.stream_options().limits();
    let connection = request.client.connection();
    let now = Instant::now();
    let machine = Machine::large_reply_client(
        server,
        limits,
        connection.max_payload(),
        Some(deadline),
        now,
    );
    let channel = Channel::new(machine);
    let sink = Arc::clone(&channel);
    let own_subject = slot
        .attach_stream(sink)
        .ok_or_else(|| request.deadline_exceeded())?;
    let transport = FrameTransport {
        connection: Arc::clone(connection),
        own_subject,
        destination: FrameDestination::ServiceBase(request.client.base().clone()),
        format: request.client.format().of_frames(),
    };
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
async fn read_whole(reader: &mut MessageReader) -> Result<Message, Status> {
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
    Ok(Message {
        subject: Subject::from_static(""),
        reply: None,
        length: payload.len(),
        payload,
        headers,
        status: None,
        description: None,
    })
}
