//! The one answer that every request gets, whatever became of it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use async_nats::{HeaderMap, HeaderValue, Subject};
use bytes::Bytes;

use crate::bus::{Outgoing, PublishError};
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::shared::ServerState;
use crate::dispatch::transcode::Format;
use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::stream::{Channel, FrameDestination, FrameTransport, Machine, StreamOptions};
use crate::wire;
use crate::wire::header::MICRO_STREAM;

/// A reply that is longer is kept until it is known to fit.
const SMALL: usize = 4096;
/// What tells a caller that a large reply can be had in parts.
const IN_PARTS: &str = "v=1;u=1";

impl ServerState {
    /// Sends a reply or a failure. What does not fit into a NATS message is answered by saying so.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        reply: Subject,
        result: Result<Bytes, Status>,
        metadata: Metadata,
    ) {
        self.answer_in(&Format::Protobuf, None, reply, result, metadata)
            .await;
    }

    /// Sends a reply or a failure in protobuf, in parts if need be.
    pub(crate) async fn answer_from(
        self: &Arc<Self>,
        home: Option<&Arc<InstanceAddress>>,
        reply: Subject,
        result: Result<Bytes, Status>,
        metadata: Metadata,
    ) {
        self.answer_in(&Format::Protobuf, home, reply, result, metadata)
            .await;
    }

    /// Sends a reply or a failure in the caller's format. A reply that does not fit into a NATS
    /// message can be had in parts where the instance is known that has it.
    pub(crate) async fn answer_in(
        self: &Arc<Self>,
        format: &Format,
        home: Option<&Arc<InstanceAddress>>,
        reply: Subject,
        result: Result<Bytes, Status>,
        metadata: Metadata,
    ) {
        if let (Format::Protobuf, Ok(payload)) = (format, &result)
            && metadata.is_empty()
        {
            let published =
                poll_fn(|cx| Poll::Ready(self.connection.try_publish(&reply, payload, cx)));
            if let Poll::Ready(Ok(())) = published.await {
                return;
            }
        }
        let again = reply.clone();
        let mut kept = None;
        let (sent, length, failure) = match result {
            Ok(payload) => {
                let length = payload.len();
                if length > SMALL {
                    kept = Some(payload.clone());
                }
                (
                    self.send(reply, format.headers(), payload, &metadata).await,
                    length,
                    None,
                )
            }
            Err(status) => {
                let (headers, payload) = format.encode_status(&status);
                let length = payload.len();
                let sent = self.send(reply, Some(headers), payload, &metadata).await;
                (sent, length, Some(status))
            }
        };
        match sent {
            Ok(()) => {}
            Err(PublishError::TooLarge { max }) => {
                let status = match failure {
                    Some(status) => status.shortened(),
                    None => too_large(length, max),
                };
                match (home, kept) {
                    (Some(home), Some(payload)) => {
                        self.offer(home, again, status, payload, metadata).await;
                    }
                    _ => self.answer_short(again, &status).await,
                }
            }
            Err(PublishError::Failed(error)) => {
                tracing::warn!(%error, "a reply could not be sent");
            }
        }
    }

    async fn answer_short(&self, reply: Subject, status: &Status) {
        tracing::warn!(%status, "a reply does not fit into one NATS message");
        let (headers, payload) = wire::encode_status(status);
        let none = Metadata::new();
        if let Err(PublishError::Failed(error)) =
            self.send(reply, Some(headers), payload, &none).await
        {
            tracing::warn!(%error, "a reply could not be sent");
        }
    }

    /// Answers with an error, for whoever knows no better, that names a stream on which the reply can
    /// be had; sends it to whoever says that he takes it.
    async fn offer(
        self: &Arc<Self>,
        home: &Arc<InstanceAddress>,
        reply: Subject,
        status: Status,
        payload: Bytes,
        metadata: Metadata,
    ) {
        let peer = home.new_stream();
        let limits = StreamOptions::new().limits();
        let max_payload = self.connection.max_payload();
        let machine = Machine::large_reply(peer.clone(), limits, max_payload, Instant::now());
        let channel = Channel::new(machine);
        channel.write_only_message(payload);
        channel.finish(None, metadata);
        let sink = Arc::clone(&channel);
        let served = self.connection.mux().register_stream(&peer.stream, sink);
        let link = FrameTransport {
            connection: Arc::clone(&self.connection),
            own_subject: home.up(&peer),
            destination: FrameDestination::Subject(reply.clone()),
        };
        let (mut headers, _) = wire::encode_status(&status);
        headers.insert(MICRO_STREAM, HeaderValue::from(IN_PARTS));
        let none = Metadata::new();
        if self
            .send(reply, Some(headers), peer.accept_frame(), &none)
            .await
            .is_err()
        {
            return;
        }
        let end = self.end.clone();
        self.tasks.spawn(async move {
            let _served = served;
            let mut drive = pin!(channel.drive(link));
            tokio::select! {
                () = &mut drive => {}
                () = end.cancelled() => {
                    channel.reset(Status::unavailable("the server stops"));
                    drive.await;
                }
            }
        });
    }

    async fn send(
        &self,
        subject: Subject,
        mut headers: Option<HeaderMap>,
        payload: Bytes,
        metadata: &Metadata,
    ) -> Result<(), PublishError> {
        wire::encode_metadata(&mut headers, metadata);
        let outgoing = Outgoing {
            headers,
            ..Outgoing::to(subject, payload)
        };
        self.connection.publish(outgoing).await
    }
}

fn too_large(length: usize, max: usize) -> Status {
    Reason::TooLarge.status(
        format!(
            "the reply takes {length} bytes, which does not fit into one NATS message of {max} bytes with its headers"
        ),
    )
}
