//! Opens a stream: sends the request, again where that is safe, and starts the task that drives it.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{HeaderMap, HeaderValue, Message, Subject};
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::bus::{PublishError, ReplySlot};
use crate::client::request::OutgoingRequest;
use crate::client::retry;
use crate::context::Context;
use crate::metadata::Metadata;
use crate::observe::ClientCall;
use crate::status::{Code, Reason, Status};
use crate::stream::{
    Channel, FrameDestination, FrameTransport, Machine, MessageReader, StreamAddress, StreamHeader,
    StreamLimits, StreamOptions,
};
use crate::wire;
use crate::wire::header::MICRO_STREAM;

/// A stream to be opened.
pub(crate) struct OpenStream {
    /// The body is the first message, if there is one that goes with the request.
    pub(crate) request: OutgoingRequest<Bytes>,
    pub(crate) options: StreamOptions,
    pub(crate) deadline: Option<Instant>,
    pub(crate) waits_for: WaitsFor,
}

/// What makes an opening complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// The server has named itself, so that messages can be sent to it.
    Accept,
    /// The handler has returned its stream.
    Open,
}

/// Why an attempt to open did not succeed.
enum Refusal {
    /// The first message does not fit into the request.
    TooLarge,
    Status(Status),
}

/// When a stream must have ended, if the caller set that or it was inherited.
pub(crate) fn deadline(
    timeout: Option<Duration>,
    parent: Option<&Context>,
    now: Instant,
) -> Option<Instant> {
    let own = timeout.and_then(|timeout| now.checked_add(timeout));
    let inherited = parent.and_then(Context::deadline);
    match (own, inherited) {
        (Some(own), Some(inherited)) => Some(own.min(inherited)),
        (own, inherited) => own.or(inherited),
    }
}

/// Opens a stream. Its reader is what keeps the call: dropping it cancels the call, and so does
/// dropping the future.
pub(crate) async fn open(opening: OpenStream) -> Result<MessageReader, Status> {
    let client = &opening.request.client;
    let method = opening.request.descriptor();
    let mut call = ClientCall::default();
    call.begin(method, client.meters(opening.request.method));
    client.count(method);
    let mut attempts = retry::Attempts::default();
    let opened = loop {
        call.attempt(attempts.next());
        let refusal = match opening.attempt(&call).await {
            Ok(opened) => break Ok(opened),
            Err(Refusal::Status(status)) => status,
            Err(Refusal::TooLarge) => break opening.open_in_parts(&call).await,
        };
        let rest = match opening.request.may_retry {
            true => attempts.rest(&refusal, method, client.budget()),
            false => None,
        };
        let is_in_time = |rest| {
            opening
                .deadline
                .is_none_or(|deadline| Instant::now() + rest < deadline)
        };
        match rest.filter(|rest| is_in_time(*rest)) {
            Some(rest) => tokio::time::sleep(rest).await,
            None => break Err(refusal),
        }
    };
    match opened {
        Ok((reader, observer)) => {
            let _ = observer.send(call);
            Ok(reader)
        }
        Err(status) => {
            call.end(Some(status.code()));
            Err(status)
        }
    }
}

impl OpenStream {
    async fn attempt(
        &self,
        call: &ClientCall,
    ) -> Result<(MessageReader, oneshot::Sender<ClientCall>), Refusal> {
        let started = self.start(call, self.request.body.clone(), false).await?;
        self.wait(&started.0, self.waits_for)
            .await
            .map_err(Refusal::Status)?;
        Ok(started)
    }

    /// Sends the first message after the server has named itself, in as many frames as it takes.
    async fn open_in_parts(
        &self,
        call: &ClientCall,
    ) -> Result<(MessageReader, oneshot::Sender<ClientCall>), Status> {
        let started = match self.start(call, Bytes::new(), true).await {
            Ok(started) => started,
            Err(Refusal::Status(status)) => return Err(status),
            Err(Refusal::TooLarge) => {
                let error = PublishError::TooLarge {
                    max: self.request.client.connection().max_payload(),
                };
                return Err(self.request.not_sent(error));
            }
        };
        let reader = &started.0;
        self.wait(reader, WaitsFor::Accept).await?;
        send_whole(reader.channel(), self.request.body.clone()).await?;
        self.wait(reader, self.waits_for).await?;
        Ok(started)
    }

    /// Publishes the request, and starts the task that drives the stream.
    async fn start(
        &self,
        call: &ClientCall,
        payload: Bytes,
        is_unary: bool,
    ) -> Result<(MessageReader, oneshot::Sender<ClientCall>), Refusal> {
        let request = &self.request;
        let connection = request.client.connection();
        let limits = self.limits();
        let now = Instant::now();
        let left = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(now));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Refusal::Status(request.too_late()));
        }
        let machine = Machine::client(limits, connection.max_payload(), self.deadline, now);
        let channel = Channel::new(machine);
        let sink = Arc::clone(&channel);
        let (slot, own) = connection.mux().reserve_for_stream(sink);
        let mut outgoing = request
            .outgoing(own.clone(), left, &call.span())
            .map_err(Refusal::Status)?;
        outgoing.payload = payload;
        let headers = outgoing.headers.get_or_insert_with(HeaderMap::new);
        headers.insert(MICRO_STREAM, open_header(&limits, is_unary));
        match connection.publish(outgoing).await {
            Ok(()) => {}
            Err(PublishError::TooLarge { .. }) => return Err(Refusal::TooLarge),
            Err(error) => return Err(Refusal::Status(request.not_sent(error))),
        }
        let (observer, observed) = oneshot::channel();
        tokio::spawn(drive(
            Arc::clone(&channel),
            slot,
            self.link(own),
            request.parent.clone(),
            observed,
        ));
        Ok((MessageReader::client(channel), observer))
    }

    fn limits(&self) -> StreamLimits {
        self.options
            .or(self.request.client.stream_options())
            .limits()
    }

    fn link(&self, own: Subject) -> FrameTransport {
        FrameTransport {
            connection: Arc::clone(self.request.client.connection()),
            own_subject: own,
            destination: FrameDestination::ServiceBase(self.request.client.base()),
        }
    }

    async fn wait(&self, reader: &MessageReader, waits_for: WaitsFor) -> Result<(), Status> {
        let opened = reader.channel().wait_until(|machine| {
            let is_open = match waits_for {
                WaitsFor::Accept => machine.server_address().is_some(),
                WaitsFor::Open => machine.headers().is_some(),
            };
            match machine.end() {
                _ if is_open => Some(Ok(())),
                Some(end) => Some(end.clone()),
                None => None,
            }
        });
        opened.await.map_err(|status| match status.reason() {
            Some(Reason::NoResponders) => self.request.no_responders(),
            Some(Reason::Deadline) => self.request.too_late(),
            _ => status,
        })
    }
}

fn open_header(limits: &StreamLimits, is_unary: bool) -> HeaderValue {
    let open = StreamHeader {
        window: limits.window,
        heartbeat: limits.heartbeat,
        is_unary,
    };
    HeaderValue::from(open.encode().as_str())
}

/// Runs a stream until it is over, or the call that it was made within is.
async fn drive(
    channel: Arc<Channel>,
    slot: ReplySlot,
    link: FrameTransport,
    parent: Option<Context>,
    observed: oneshot::Receiver<ClientCall>,
) {
    let mut driving = pin!(channel.drive(link));
    let parent_ended = async {
        match &parent {
            Some(parent) => parent.ended().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = &mut driving => {}
        () = parent_ended => {
            channel.reset(Reason::ParentEnded.status(
                "the call that the stream was a part of has ended",
            ));
            driving.await;
        }
    }
    drop(slot);
    if let Ok(mut call) = observed.await {
        let failure = channel.inspect(|machine| machine.end().and_then(|end| end.clone().err()));
        call.end(failure.map(|status| status.code()));
    }
}

/// Sends the one message that this end has to send, in as many frames as it takes.
async fn send_whole(channel: &Channel, message: Bytes) -> Result<(), Status> {
    let length = message.len();
    let mut encoded = Some(message);
    std::future::poll_fn(|cx| channel.poll_send(cx, &(), length, &mut encoded)).await?;
    channel.finish(None, Metadata::new());
    Ok(())
}

/// Calls a unary method whose request does not fit into one NATS message.
pub(crate) async fn call_in_parts(opening: OpenStream) -> Result<Message, Status> {
    let call = ClientCall::default();
    let (mut reader, _) = opening.open_in_parts(&call).await?;
    read_whole(&mut reader).await
}

/// Receives a reply that does not fit into one NATS message, from a server that has named itself
/// in a first reply.
pub(crate) async fn receive_in_parts(
    request: &OutgoingRequest<Bytes>,
    first: &Message,
    slot: ReplySlot,
    deadline: Instant,
) -> Result<Message, Status> {
    let peer = StreamAddress::read(first.payload.clone())?;
    let limits = request.client.stream_options().limits();
    let connection = request.client.connection();
    let now = Instant::now();
    let machine =
        Machine::large_reply_client(peer, limits, connection.max_payload(), Some(deadline), now);
    let channel = Channel::new(machine);
    let sink = Arc::clone(&channel);
    let own = slot.attach_stream(sink).ok_or_else(|| request.too_late())?;
    let link = FrameTransport {
        connection: Arc::clone(connection),
        own_subject: own,
        destination: FrameDestination::ServiceBase(request.client.base()),
    };
    let (_, observed) = oneshot::channel();
    tokio::spawn(drive(
        Arc::clone(&channel),
        slot,
        link,
        request.parent.clone(),
        observed,
    ));
    read_whole(&mut MessageReader::client(channel)).await
}

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
