//! The driver of a stream: publishes the frames that its machine makes, and wakes it for its clock.
//!
//! One task drives each end: a task of its own at the client, the handler's task at the server. It alone waits for the
//! connection, so that readers, writers and the inbox never do. A connection that takes no messages slows the driver,
//! then the writer through the room that is missing, but never keeps a stream beyond its deadline.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use async_nats::Subject;

use crate::bus::{Connection, Outgoing};
use crate::status::{Reason, Status};
use crate::stream::channel::Channel;
use crate::stream::machine::{Machine, dropped};
use crate::stream::stream_address::StreamAddress;
use crate::subject;
use crate::wire;
use crate::wire::PayloadFormat;
use crate::wire::subject::ServiceBase;

/// Maximum length in bytes of the tokens by which a server names a stream.
const MAX_ADDRESS_TOKEN_LEN: usize = 256;

/// Connection and subjects of one end of a stream.
pub(crate) struct FrameTransport {
    pub(crate) connection: Arc<Connection>,
    /// Subject of this end, the reply subject of probes: NATS reports there that the peer is gone.
    pub(crate) own_subject: Subject,
    pub(crate) destination: FrameDestination,
    /// Format of the frames.
    pub(crate) format: PayloadFormat,
}

/// Subject that frames are published to.
pub(crate) enum FrameDestination {
    /// The peer's subject. At a server the reply subject of the request; at a client made of the service base
    /// once the server has accepted.
    Subject(Subject),
    /// At a client: the service base that its call used. The server's ACCEPT supplies the tokens behind it, and
    /// never a whole subject (docs/PROTOCOL.md, first section).
    ServiceBase(ServiceBase),
}

impl Channel {
    /// Publishes the frames of the stream until both directions are over.
    ///
    /// Dropping the future leaves the stream without a driver: nothing more is sent, and the peer ends it after
    /// three heartbeats. Reset the channel and drive it to its end instead.
    pub(crate) async fn drive(&self, transport: FrameTransport) {
        let mut destination = transport.destination;
        let mut timer = pin!(None);
        loop {
            while let Some(frame) = self.next_frame() {
                let subject = match destination.subject(self) {
                    Ok(subject) => subject,
                    Err(status) => {
                        self.update(|machine| machine.fail(status));
                        return;
                    }
                };
                let mut headers = None;
                let payload = wire::write_payload(&mut headers, transport.format, frame.payload);
                let outgoing = Outgoing {
                    subject,
                    reply: frame.is_probe.then(|| transport.own_subject.clone()),
                    headers,
                    payload,
                };
                let publishing = pin!(transport.connection.publish(outgoing));
                if let Err(error) = self.keeping_time(publishing).await {
                    // The frame counts as sent, so its loss is the end.
                    self.update(|machine| machine.fail(error.into_status("a frame")));
                }
            }
            if poll_fn(|cx| self.poll_frame_due(cx, timer.as_mut()))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// Waits until a frame is published, and keeps the machine's clock meanwhile: a connection that takes nothing
    /// must not keep a stream beyond its deadline. The first poll usually succeeds, without a timer.
    async fn keeping_time<F: Future>(&self, mut publishing: Pin<&mut F>) -> F::Output {
        let polled = poll_fn(|cx| Poll::Ready(publishing.as_mut().poll(cx))).await;
        if let Poll::Ready(published) = polled {
            return published;
        }
        loop {
            let next = self.inspect(Machine::next_time);
            let time = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                published = &mut publishing => return published,
                () = time => self.update(|machine| machine.on_time(Instant::now())),
            }
        }
    }
}

impl FrameDestination {
    /// Returns the subject of the peer. It is known whenever there is a frame, as a client makes none before ACCEPT.
    ///
    /// # Errors
    ///
    /// [`Reason::BadFrame`] if the server names its stream by something other than subject tokens: publishing
    /// there could reach any subject that this client may publish to.
    fn subject(&mut self, channel: &Channel) -> Result<Subject, Status> {
        if let Self::ServiceBase(base) = self {
            let address = channel.inspect(|machine| machine.server_address().cloned());
            let subject = address.and_then(|address| up_subject(base, &address));
            let Some(subject) = subject else {
                return Err(Reason::BadFrame
                    .status("the server gives its stream a name that is no subject token"));
            };
            *self = Self::Subject(subject);
        }
        match self {
            Self::Subject(subject) => Ok(subject.clone()),
            Self::ServiceBase(_) => Err(dropped("the stream has no peer")),
        }
    }
}

/// Returns the subject on which a server receives the frames of one stream (docs/PROTOCOL.md, "Names"); `None` if the
/// address is not made of subject tokens.
fn up_subject(base: &ServiceBase, address: &StreamAddress) -> Option<Subject> {
    let is_token = |text: &str| {
        subject::literal_flaw(text).is_none()
            && !text.contains('.')
            && text.len() <= MAX_ADDRESS_TOKEN_LEN
    };
    let StreamAddress { instance, stream } = address;
    (is_token(instance) && is_token(stream)).then(|| base.upstream(instance, stream))
}
