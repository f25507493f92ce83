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
use crate::stream::peer::Peer;
use crate::subject;

/// Where frames go, and where the answers to them arrive.
pub(crate) struct Link {
    pub(crate) connection: Arc<Connection>,
    /// Our own subject.
    pub(crate) own: Subject,
    pub(crate) to: Target,
}

/// The peer's subject.
pub(crate) enum Target {
    /// The caller's reply subject.
    Caller(Subject),
    /// The service base, with the dot; the rest is known once the server has accepted.
    Service(String),
}

impl Channel {
    /// Publishes what is due until both directions are over.
    pub(crate) async fn drive(&self, link: Link) {
        let mut to = link.to;
        let mut timer = pin!(None);
        loop {
            while let Some(output) = self.output() {
                let subject = match to.subject(self) {
                    Ok(subject) => subject,
                    Err(status) => {
                        self.change(|machine| machine.fail(status));
                        return;
                    }
                };
                let outgoing = Outgoing {
                    reply: output.asks.then(|| link.own.clone()),
                    ..Outgoing::to(subject, output.payload)
                };
                let publishing = pin!(link.connection.publish(outgoing));
                if let Err(error) = self.keeping_time(publishing).await {
                    self.change(|machine| machine.fail(error.into_status("a frame")));
                }
            }
            if poll_fn(|cx| self.poll_work(cx, timer.as_mut()))
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
            let next = self.with(Machine::next_time);
            let time = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                published = &mut publishing => return published,
                () = time => self.change(|machine| machine.on_time(Instant::now())),
            }
        }
    }
}

impl Target {
    /// The subject of the peer, which is known whenever there is something to send.
    fn subject(&mut self, channel: &Channel) -> Result<Subject, Status> {
        if let Self::Service(base) = self {
            let peer = channel.with(|machine| machine.peer().cloned());
            let subject = peer.and_then(|peer| up_subject(base, &peer));
            let Some(subject) = subject else {
                return Err(Reason::BadFrame
                    .status("the server gives its stream a name that is no subject token"));
            };
            *self = Self::Caller(subject);
        }
        match self {
            Self::Caller(subject) => Ok(subject.clone()),
            Self::Service(_) => Err(dropped("the stream has no peer")),
        }
    }
}

/// Where a server receives the frames of one stream.
pub(crate) fn up_subject(base: &str, peer: &Peer) -> Option<Subject> {
    let is_token = |text: &str| {
        subject::literal_flaw(text).is_none() && !text.contains('.') && text.len() <= 256
    };
    let Peer { instance, stream } = peer;
    (is_token(instance) && is_token(stream))
        .then(|| Subject::from(format!("{base}_i.{instance}._up.{stream}")))
}
