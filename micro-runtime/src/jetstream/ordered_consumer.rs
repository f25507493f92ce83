//! `OrderedConsumer`: the consumer that a replay reads, and its deliveries without a gap.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use async_nats::Message;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use crate::bus::{Bus, Connection};
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
/// the replay opens another one behind the last event. It is deleted when it is dropped.
pub(super) struct OrderedConsumer {
    requests: PullRequests,
    /// A request that the connection has not taken yet.
    requesting: Option<BoxFuture<'static, ()>>,
    /// Whether the next request is a [probe](PullRequests::probe).
    is_probe_due: bool,
    /// Position of the last delivery among those of this consumer; 0 before the first.
    last_delivery: u64,
    /// Sequence of the stream behind which it began: everything up to there was not stored any more, or not asked for.
    pub(super) position: u64,
    /// Number of events that it has to deliver, when it was created.
    pub(super) pending: u64,
    _deletion: ConsumerDeletion,
}

/// News of a consumer that is well.
pub(super) enum ConsumerItem {
    /// The next event. `is_behind_pause` as [`PullRequests::is_behind_pause`].
    Message {
        message: Message,
        is_behind_pause: bool,
    },
    /// It has delivered everything up to this sequence of the stream that there is.
    Idle { sequence: u64 },
}

/// Why a consumer delivers no more.
pub(super) enum ReadError {
    /// It is lost, for this reason; another one may read on.
    Lost(String),
    /// NATS or JetStream does not let this user read.
    Refused(Status),
}

impl OrderedConsumer {
    /// Creates the consumer, and requests its first events: what NATS has sent is read, also where it is removed from
    /// the stream before that.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` if there is no such stream, [`Reason::NotStored`] if it cannot be read; [`Reason::NotPermitted`] if
    /// NATS refuses it to this user; [`Reason::NoJetStream`] inside one process.
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
        let created = created.map_err(|error| match error.is(ErrorCode::STREAM_NOT_FOUND) {
            true => Status::not_found(format!("{text}: {error}")),
            false => error.into_status(&text),
        })?;
        let mut consumer = Self {
            requests,
            requesting: None,
            is_probe_due: false,
            last_delivery: 0,
            position: created.delivered.stream_sequence,
            pending: created.num_pending,
            _deletion: ConsumerDeletion {
                connection: Arc::clone(connection),
                stream: stream.to_owned(),
                name,
            },
        };
        if let Some(requesting) = consumer.next_request() {
            requesting.await;
        }
        Ok(consumer)
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
    ) -> Poll<Result<ConsumerItem, ReadError>> {
        loop {
            self.poll_request(cx);
            let message = match ready!(self.requests.poll_next(cx)) {
                Some(PullMessage::Delivery(message)) => message,
                Some(PullMessage::Control) => continue,
                Some(PullMessage::Idle(at)) if at.deliveries == self.last_delivery => {
                    let sequence = at.sequence;
                    return Poll::Ready(Ok(ConsumerItem::Idle { sequence }));
                }
                Some(PullMessage::Idle(at)) if at.deliveries < self.last_delivery => continue,
                Some(PullMessage::Idle(at)) => {
                    let (last, sent) = (self.last_delivery, at.deliveries);
                    let text = format!("delivery {sent} was lost, of {last} that came");
                    return Poll::Ready(Err(ReadError::Lost(text)));
                }
                Some(PullMessage::ConsumerLost(cause)) => {
                    return Poll::Ready(Err(ReadError::Lost(cause)));
                }
                Some(PullMessage::Rejected(cause)) => {
                    let text = format!("JetStream rejects the requests of a replay: {cause}");
                    let status = Reason::NotStored.status(text);
                    return Poll::Ready(Err(ReadError::Refused(status)));
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
            return Poll::Ready(Ok(ConsumerItem::Message {
                message,
                is_behind_pause: self.requests.is_behind_pause(),
            }));
        }
    }

    /// Asks for the position of the consumer, which soon comes as [`ConsumerItem::Idle`], unless there is a further
    /// event.
    pub(super) fn probe(&mut self) {
        self.is_probe_due = true;
    }

    /// Requests further events once half of those requested have arrived.
    fn poll_request(&mut self, cx: &mut TaskContext<'_>) {
        if self.requesting.is_none() {
            self.requesting = self.next_request();
        }
        if let Some(requesting) = &mut self.requesting
            && requesting.poll_unpin(cx).is_ready()
        {
            self.requesting = None;
        }
    }

    /// Returns the publishing of the next request, if there is one.
    fn next_request(&mut self) -> Option<BoxFuture<'static, ()>> {
        let request = match std::mem::take(&mut self.is_probe_due) {
            true => self.requests.probe(),
            false => self.requests.next_request(MAX_IN_FLIGHT, MAX_IN_FLIGHT)?,
        };
        let connection = Arc::clone(self.requests.connection());
        // A request that is not sent leaves the consumer silent.
        Some(async move { drop(connection.publish(request).await) }.boxed())
    }

    /// Returns whether the connection was made anew: the server has forgotten the requests of the last one.
    pub(super) fn has_reconnected(&mut self) -> bool {
        self.requests.has_reconnected()
    }
}

/// Deletes a consumer when it is dropped. One that cannot be deleted, as without the permission, is removed by the
/// server after [`INACTIVE_THRESHOLD`].
struct ConsumerDeletion {
    connection: Arc<Connection>,
    stream: String,
    name: String,
}

impl Drop for ConsumerDeletion {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let connection = Arc::clone(&self.connection);
        let (stream, name) = (
            std::mem::take(&mut self.stream),
            std::mem::take(&mut self.name),
        );
        runtime.spawn(async move {
            let api = Api::new(&connection);
            if let Err(error) = api.delete_consumer(&stream, &name).await {
                tracing::debug!(stream, name, %error, "the consumer of a replay is not deleted");
            }
        });
    }
}
