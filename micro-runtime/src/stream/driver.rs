//! The driver of a stream: publishes the frames that its machine makes, and wakes it for its clock.
//!
//! One task drives each end: a task of its own at the client, the handler's task at the server. It alone waits for the
//! connection, so that readers, writers and the inbox never do. A connection that takes no messages slows the driver,
//! then the writer through the room that is missing, but never keeps a stream beyond its deadline.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_nats::Subject;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::bus::{Connection, Outgoing, PublishError};
use crate::status::{Reason, Status};
use crate::stream::channel::Channel;
use crate::stream::machine::{Machine, dropped};
use crate::stream::output::OutboundFrame;
use crate::stream::stream_address::StreamAddress;
use crate::subject;
use crate::sync::lock;
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
    /// The peer's subject. At a server the reply subject of the request, to which all frames of a stream go; at a
    /// client made of the service base once the server has accepted.
    Subject(Subject),
    /// At a client: the service base that its call used. The server's ACCEPT supplies the tokens behind it, and
    /// never a whole subject (docs/PROTOCOL.md, GEN-2).
    ServiceBase(ServiceBase),
    /// At the server of a large reply: the reply subject of the latest frame that had one. The receiver of the frames
    /// sets it.
    Granted(Arc<Mutex<Subject>>),
}

impl Channel {
    /// Publishes the frames of the stream until both directions are over.
    ///
    /// Dropping the future leaves the stream without a driver: nothing more is sent, and the peer ends it after
    /// three heartbeats. Reset the channel and drive it to its end instead.
    pub(crate) async fn drive(&self, mut transport: FrameTransport) {
        let mut timer = pin!(None);
        loop {
            while let Some(frame) = self.next_frame() {
                // Known only now: ACCEPT has named the instance.
                let is_new = matches!(transport.destination, FrameDestination::ServiceBase(_));
                let subject = match transport.destination.subject(self) {
                    Ok(subject) => {
                        if is_new {
                            let mux = transport.connection.mux();
                            mux.set_destination(&transport.own_subject, &subject);
                        }
                        subject
                    }
                    Err(status) => {
                        self.update(|machine| machine.fail(status));
                        return;
                    }
                };
                let is_probe = frame.is_probe;
                let outgoing = transport.outgoing(subject, frame);
                // A message that the connection takes at once consumes none.
                consume_budget().await;
                let published = match transport.connection.try_publish_whole(&outgoing) {
                    Poll::Ready(published) => published,
                    // In a box: the future is large, and all that a stream waits for is a full queue.
                    Poll::Pending => Box::pin(self.publish(&transport.connection, outgoing)).await,
                };
                if let Err(error) = published {
                    // The frame counts as sent, so its loss is the end.
                    self.update(|machine| machine.fail(error.into_status("a frame")));
                }
                // A handler that is always ready would not hear before its window is full that its caller is gone.
                if is_probe {
                    yield_now().await;
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

    /// Publishes a frame, and keeps the machine's clock meanwhile: a connection that takes nothing must not keep a
    /// stream beyond its deadline.
    async fn publish(&self, connection: &Connection, frame: Outgoing) -> Result<(), PublishError> {
        let mut publishing = pin!(connection.publish(frame));
        loop {
            let next = self.inspect(Machine::next_time);
            let time = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
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

impl FrameTransport {
    /// Returns the message with a frame.
    fn outgoing(&self, subject: Subject, frame: OutboundFrame) -> Outgoing {
        let mut headers = None;
        let payload = wire::write_payload(&mut headers, self.format, frame.payload);
        Outgoing {
            subject,
            reply: frame.is_probe.then(|| self.own_subject.clone()),
            headers,
            payload,
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
            Self::Granted(subject) => Ok(lock(subject).clone()),
            Self::ServiceBase(_) => Err(dropped("the stream has no peer")),
        }
    }
}

/// Returns the subject on which a server receives the frames of one stream (docs/PROTOCOL.md, NAME-4); `None`
/// if the address is not made of subject tokens.
fn up_subject(base: &ServiceBase, address: &StreamAddress) -> Option<Subject> {
    let is_token = |text: &str| {
        subject::literal_flaw(text).is_none()
            && !text.contains('.')
            && text.len() <= MAX_ADDRESS_TOKEN_LEN
    };
    let StreamAddress { instance, stream } = address;
    (is_token(instance) && is_token(stream)).then(|| base.upstream(instance, stream))
}
