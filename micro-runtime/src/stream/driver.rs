//! What drives a stream: publishes its frames to the peer, and wakes up for its clock.

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
use crate::wire::subject::ServiceBase;

/// Where frames go, and where the answers to them arrive.
pub(crate) struct FrameTransport {
    pub(crate) connection: Arc<Connection>,
    /// Our own subject.
    pub(crate) own_subject: Subject,
    pub(crate) destination: FrameDestination,
}

/// The peer's subject.
pub(crate) enum FrameDestination {
    /// The caller's reply subject.
    Subject(Subject),
    /// The service base; the tokens after it are known once the server has accepted.
    ServiceBase(ServiceBase),
}

impl Channel {
    /// Publishes what is due until both directions are over.
    pub(crate) async fn drive(&self, transport: FrameTransport) {
        let mut to = transport.destination;
        let mut timer = pin!(None);
        loop {
            while let Some(output) = self.next_frame() {
                let subject = match to.subject(self) {
                    Ok(subject) => subject,
                    Err(status) => {
                        self.update(|machine| machine.fail(status));
                        return;
                    }
                };
                let outgoing = Outgoing {
                    reply: output.is_probe.then(|| transport.own_subject.clone()),
                    ..Outgoing::to(subject, output.payload)
                };
                let publishing = pin!(transport.connection.publish(outgoing));
                if let Err(error) = self.keeping_time(publishing).await {
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
}

impl Channel {
    /// Waits for a frame to be published, and looks at the clock meanwhile: a connection that takes
    /// nothing must not keep a stream beyond its deadline.
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
    /// The subject of the peer, which is known whenever there is something to send.
    fn subject(&mut self, channel: &Channel) -> Result<Subject, Status> {
        if let Self::ServiceBase(base) = self {
            let peer = channel.inspect(|machine| machine.server_address().cloned());
            let subject = peer.and_then(|peer| up_subject(base, &peer));
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

/// Where a server receives the frames of one stream.
pub(crate) fn up_subject(base: &ServiceBase, peer: &StreamAddress) -> Option<Subject> {
    let is_token = |text: &str| {
        subject::literal_flaw(text).is_none() && !text.contains('.') && text.len() <= 256
    };
    let StreamAddress { instance, stream } = peer;
    (is_token(instance) && is_token(stream)).then(|| base.upstream(instance, stream))
}
