//! `OrderedConsumer`: the consumer that a replay reads, and its deliveries without a gap.

use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use async_nats::Message;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::bus::Bus;
use crate::error::ErrorKind;
use crate::jetstream::api::Api;
use crate::jetstream::pull_requests::{PullMessage, PullRequests};
use crate::jetstream::start_from::StartFrom;
use crate::status::{Reason, Status};
use crate::wire::ack_subject;

/// Maximum number of events that are requested and not read yet.
const MAX_IN_FLIGHT: usize = 500;
/// Time after which the server removes a consumer that is not read.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(30);

/// An ephemeral consumer, and the requests for its events.
///
/// It lives in the memory of one server and acknowledges nothing. Whatever happens to it, a deleted consumer, a
/// lost server or a message that is missing, is one case for its reader: [`poll_next`](Self::poll_next) fails, and
/// the replay opens another one behind the last event.
pub(super) struct OrderedConsumer {
    requests: PullRequests,
    /// A request that the connection has not taken yet.
    requesting: Option<BoxFuture<'static, ()>>,
    /// Position of the last delivery among those of this consumer; 0 before the first.
    last_delivery: u64,
    /// Number of events that it has to deliver, when it was created.
    pub(super) pending: u64,
}

/// Why a consumer delivers no more.
pub(super) enum ReadError {
    /// It is lost, for this reason; another one may read on.
    Lost(String),
    /// NATS does not let this user read.
    Refused(Status),
}

impl OrderedConsumer {
    /// Creates the consumer.
    ///
    /// # Errors
    ///
    /// [`Reason::NotStored`] if the stream cannot be read; [`Reason::NotPermitted`] if NATS refuses it to this user;
    /// [`Reason::NoJetStream`] inside one process.
    pub(super) async fn open(
        bus: &Bus,
        stream: &str,
        filter: &str,
        start: StartFrom,
    ) -> Result<Self, Status> {
        let connection = bus.consuming();
        connection.jetstream_or_status()?;
        let text = format!("stream `{stream}` cannot be read");
        let name = format!("replay-{}", nuid::next());
        let config = Config {
            name: Some(name.clone()),
            deliver_policy: start.deliver_policy(),
            ack_policy: AckPolicy::None,
            filter_subject: filter.to_owned(),
            inactive_threshold: INACTIVE_THRESHOLD,
            num_replicas: 1,
            memory_storage: true,
            ..Config::default()
        };
        let requests = PullRequests::start(connection, stream, &name).await;
        let requests = requests.map_err(|error| {
            let text = format!("{text}: {error}");
            let reason = match error.kind() {
                ErrorKind::Permission => Reason::NotPermitted,
                _ => Reason::NotStored,
            };
            reason.status(text).with_source(error)
        })?;
        let created = Api::new(connection).create_consumer(stream, &config).await;
        let created = created.map_err(|error| error.into_status(&text))?;
        Ok(Self {
            requests,
            requesting: None,
            last_delivery: 0,
            pending: created.num_pending,
        })
    }

    /// Polls for the next message in order.
    ///
    /// # Errors
    ///
    /// The reason, in words, why this consumer delivers no more; [`Reason::NotPermitted`] if NATS refuses its
    /// requests, which another consumer would not change.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<Message, ReadError>> {
        loop {
            self.poll_request(cx);
            let message = match ready!(self.requests.poll_next(cx)) {
                Some(PullMessage::Delivery(message)) => message,
                Some(PullMessage::Control) => continue,
                Some(PullMessage::ConsumerLost(cause)) => {
                    return Poll::Ready(Err(ReadError::Lost(cause)));
                }
                Some(PullMessage::Refused(refusal) | PullMessage::Revoked(refusal)) => {
                    return Poll::Ready(Err(ReadError::Refused(refusal.status())));
                }
                None => {
                    let cause = "the subscription has ended".to_owned();
                    return Poll::Ready(Err(ReadError::Lost(cause)));
                }
            };
            let position = message.reply.as_deref().and_then(ack_subject::parse_ack);
            let Some(position) = position.map(|numbers| numbers.consumer_sequence) else {
                continue;
            };
            if position != self.last_delivery + 1 {
                let last = self.last_delivery;
                let text = format!("delivery {position} came behind delivery {last}");
                return Poll::Ready(Err(ReadError::Lost(text)));
            }
            self.last_delivery = position;
            return Poll::Ready(Ok(message));
        }
    }

    /// Requests further events once half of those requested have arrived.
    fn poll_request(&mut self, cx: &mut TaskContext<'_>) {
        if self.requesting.is_none()
            && let Some(request) = self.requests.next_request(MAX_IN_FLIGHT, MAX_IN_FLIGHT)
        {
            let connection = self.requests.connection().clone();
            // A request that is not sent leaves the consumer silent.
            let publishing = async move { drop(connection.publish(request).await) };
            self.requesting = Some(publishing.boxed());
        }
        if let Some(requesting) = &mut self.requesting
            && requesting.poll_unpin(cx).is_ready()
        {
            self.requesting = None;
        }
    }

    /// Returns why the consumer is probably lost although it has not reported it; `None` while it is well.
    pub(super) fn loss(&mut self) -> Option<&'static str> {
        if self.requests.has_reconnected() {
            return Some("the connection was made anew");
        }
        self.requests.is_silent().then_some("no heartbeat")
    }
}
