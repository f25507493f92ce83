//! `ReplaySource`: the stream of a replay, and how reading it goes on behind a loss.
//!
//! A new consumer begins behind the last event, whatever the loss is: a lost connection, a lost server, a deleted
//! consumer or a message that is missing. Its creation shows from where on the stream still has events, and the
//! creation of the stream whether it is the same one: both are read before the first event of the consumer counts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::{ErrorCode, stream};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::bus::{Bus, NoRuntime};
use crate::jetstream::api::{Api, ApiError};
use crate::jetstream::ordered_consumer::OrderedConsumer;
use crate::jetstream::replay_position::StreamEnds;
use crate::jetstream::start_from::StartFrom;
use crate::jetstream::stored_message::StoredMessage;
use crate::log_limit::LogLimit;
use crate::status::{Code, Reason, Status};
use crate::sync::lock;

/// Wait before the second attempt to reopen a replay; it doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
/// Maximum wait between two attempts to reopen a replay.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Time after which a replay that cannot be reopened yields an error. The election of a leader takes less.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// The events that a replay reads.
pub(super) struct ReplaySource {
    pub(super) bus: Bus,
    /// Name of the stream in NATS.
    pub(super) stream: Arc<str>,
    /// Subject of the events, with the prefix of the bus.
    pub(super) filter: String,
    /// Whether a stream that is gone ends the replay; otherwise it may be declared again.
    pub(super) is_bounded: bool,
    /// Number of losses of the connection that a malformed event may have caused, at the last look.
    suspected_cuts: Mutex<u64>,
    interruption_log: LogLimit,
    /// Of attempts to reopen it that fail.
    failure_log: LogLimit,
}

/// State of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplayedStream {
    /// Time of its creation in nanoseconds since 1970, which a stream that was deleted and declared again has changed.
    pub(super) created_ns: i128,
    pub(super) ends: StreamEnds,
}

/// Result of going on behind the last event.
pub(super) struct Reopened {
    pub(super) next: NextEvents,
    /// State of the stream, read behind `next`.
    pub(super) stream: ReplayedStream,
}

/// Source of the next events of a replay.
pub(super) enum NextEvents {
    /// A consumer that begins behind the last event.
    Consumer(Box<OrderedConsumer>),
    /// The next event cannot be received, for this reason: its delivery would cost the connection.
    Unreceivable(StoredMessage, &'static str),
}

impl ReplayedStream {
    fn of(info: &stream::Info) -> Self {
        Self {
            created_ns: info.created.unix_timestamp_nanos(),
            ends: StreamEnds {
                first: info.state.first_sequence,
                last: info.state.last_sequence,
            },
        }
    }
}

impl ReplaySource {
    pub(super) fn new(bus: Bus, stream: String, filter: String, is_bounded: bool) -> Arc<Self> {
        Arc::new(Self {
            suspected_cuts: Mutex::new(bus.consuming().mux().counts().suspected_cuts()),
            bus,
            stream: stream.into(),
            filter,
            is_bounded,
            interruption_log: LogLimit::default(),
            failure_log: LogLimit::default(),
        })
    }

    /// Creates a consumer that begins with `start`.
    ///
    /// # Errors
    ///
    /// Those of [`OrderedConsumer::open`].
    pub(super) async fn open(&self, start: StartFrom) -> Result<OrderedConsumer, Status> {
        OrderedConsumer::open(&self.bus, &self.stream, &self.filter, start).await
    }

    /// Returns the state of the stream.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` if there is no such stream, [`Reason::NotPermitted`] if NATS refuses the request, else
    /// [`Reason::NotStored`].
    pub(super) async fn replayed_stream(&self) -> Result<ReplayedStream, Status> {
        let info = Api::new(self.bus.consuming())
            .stream_info(&self.stream)
            .await;
        info.map(|info| ReplayedStream::of(&info)).map_err(|error| {
            let text = format!("stream `{}` cannot be read", self.stream);
            match error.is(ErrorCode::STREAM_NOT_FOUND) {
                true => Status::not_found(format!("{text}: {error}")),
                false => error.into_status(&text),
            }
        })
    }

    /// Returns whether the connection was lost since the last call, and an event that cannot be received may have
    /// caused that.
    fn is_suspect(&self) -> bool {
        let suspected = self.bus.consuming().mux().counts().suspected_cuts();
        std::mem::replace(&mut *lock(&self.suspected_cuts), suspected) != suspected
    }

    /// Logs an interruption, and creates a new consumer with `start`.
    pub(super) fn reopen_lost(
        self: &Arc<Self>,
        start: StartFrom,
        cause: String,
    ) -> BoxFuture<'static, Result<Reopened, Status>> {
        let stream = Arc::clone(&self.stream);
        self.interruption_log.write(move |count| {
            tracing::warn!(
                stream = &*stream,
                cause,
                count,
                "a replay was interrupted; continuing behind the last event"
            );
        });
        self.reopen(start, Duration::ZERO, self.is_suspect())
    }

    /// Creates a new consumer with `start`, behind the last event that was read, after a wait. Requests fail while a
    /// server restarts or a leader is elected, so that it retries for [`REOPEN_TIMEOUT`]. With `is_cut` the next event
    /// is looked at first: it may be one that costs the connection.
    pub(super) fn reopen(
        self: &Arc<Self>,
        start: StartFrom,
        wait: Duration,
        is_cut: bool,
    ) -> BoxFuture<'static, Result<Reopened, Status>> {
        let source = Arc::clone(self);
        let reopened = async move {
            NoRuntime::check().map_err(|none| none.into_status("a replay does not continue"))?;
            tokio::time::sleep(wait).await;
            let mut backoff = INITIAL_BACKOFF;
            let deadline = Instant::now() + REOPEN_TIMEOUT;
            let connection = source.bus.consuming();
            loop {
                let status = match source.go_on(start, is_cut).await {
                    Ok(reopened) => return Ok(reopened),
                    Err(status) => status,
                };
                let is_over = Instant::now() + backoff > deadline || connection.is_closed();
                if is_over || source.is_final(&status) {
                    return Err(status);
                }
                let stream = Arc::clone(&source.stream);
                source.failure_log.write(move |count| {
                    tracing::warn!(stream = &*stream, %status, count, "cannot reopen a replay; retrying");
                });
                backoff = match connection.pause(backoff).await {
                    true => INITIAL_BACKOFF,
                    false => (backoff * 2).min(MAX_BACKOFF),
                };
            }
        };
        reopened.boxed()
    }

    /// Returns whether another attempt would fail as well.
    fn is_final(&self, status: &Status) -> bool {
        let is_refused = status.reason() == Some(Reason::NotPermitted);
        is_refused || (self.is_bounded && status.code() == Code::NotFound)
    }

    /// Reads on from `start`. With `is_cut` the first event there is looked at.
    ///
    /// Everything in front of an event that cannot be received has arrived, so that it is the next one once the replay
    /// has read what arrived. If it is not, since something was lost besides, the replay reads on, loses the connection
    /// there once more, and finds it then.
    ///
    /// The state of the stream is read behind the creation of the consumer: a stream that was declared again before
    /// that shows by its creation, and one that is declared again later takes the consumer along.
    async fn go_on(&self, start: StartFrom, is_cut: bool) -> Result<Reopened, Status> {
        let unreceivable = match is_cut {
            true => self.unreceivable(start).await,
            false => None,
        };
        let next = match unreceivable {
            Some((message, flaw)) => NextEvents::Unreceivable(message, flaw),
            None => NextEvents::Consumer(Box::new(self.open(start).await?)),
        };
        let stream = self.replayed_stream().await?;
        Ok(Reopened { next, stream })
    }

    /// Returns the event at `start`, or the next one, if it cannot be received. A user who may not look at it reads on.
    async fn unreceivable(&self, start: StartFrom) -> Option<(StoredMessage, &'static str)> {
        let api = Api::new(self.bus.consuming());
        let looked = async {
            let next = api.next_message(&self.stream, start, &self.filter);
            let Some(message) = next.await? else {
                return Ok(None);
            };
            let flaw = api.flaw(&self.stream, &message).await?;
            Ok::<_, ApiError>(flaw.map(|flaw| (message, flaw)))
        };
        looked.await.unwrap_or_else(|error| {
            // The network may have been the cause.
            tracing::debug!(
                stream = &*self.stream, %error,
                "the next event cannot be looked at; the replay reads on"
            );
            None
        })
    }
}
