//! `MalformedSearch`: finds stored events that async-nats cannot parse, and gives them up without receiving them.
//!
//! The delivery of such an event costs the connection each time, and nothing of it arrives. So behind a loss that one
//! may have caused, all that the consumer has delivered and that is not settled is read by `STREAM.MSG.GET`, whose
//! replies are JSON. A message that cannot be parsed becomes a dead letter, as it is stored, and is terminated by its
//! sequence. What arrived behind it on the lost connection is delivered again after `ack_wait`.
//!
//! # Invariants
//!
//! - No event is terminated that async-nats could parse: `Api::flaw` reads as async-nats does.
//! - The letter is stored before the event is terminated, as for all that is given up. A search that ends between the
//!   two stores a letter with the same id again, which the stream drops.
//! - A search never goes past an event that it could not terminate: the next one finds it again.
//! - Each stored event is read once by each process, however often the connection is lost.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::{HeaderMap, Subject};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::context::Delivery;
use crate::jetstream::api::{Api, ApiError};
use crate::jetstream::delivery_handler::HandlerScope;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::jetstream::start_from::StartFrom;
use crate::jetstream::stored_message::StoredMessage;
use crate::status::Reason;
use crate::wire::ack_subject;
use crate::wire::header::stored;

/// Maximum time for which a search holds up requests for further events, which could cost its connection.
const MAX_HOLD: Duration = Duration::from_secs(2);
/// Wait before a search that a further loss has interrupted goes on, unless the connection is back earlier.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Maximum length of the malformed headers in a dead letter, in base64, in bytes. NATS takes 64 KiB of headers.
const MAX_RAW_HEADERS_LEN: usize = 32 * 1024;
/// Room for the other headers of a dead letter, in bytes.
const MAX_LETTER_HEADERS_LEN: usize = 8 * 1024;

/// The searches of one consumer, one at a time.
pub(super) struct MalformedSearch {
    /// The consumer, its acknowledgments and its counts.
    scope: Arc<HandlerScope>,
    /// Number of losses that the searches so far have followed.
    followed: u64,
    /// What the last one has read.
    searched: SearchedRange,
    /// Present while one runs. It is polled by the consumer's loop, and ends with it.
    running: Option<RunningSearch>,
}

/// A search that has not ended.
struct RunningSearch {
    /// For [`MAX_HOLD`].
    began: Instant,
    /// Returns how far it came.
    search: BoxFuture<'static, SearchedRange>,
}

/// The events that need not be read once more: stored messages do not change.
#[derive(Clone, Copy, Default)]
struct SearchedRange {
    /// When the consumer was created, which begins anew if it is created once more.
    created_ns: i128,
    /// Last sequence.
    through: u64,
}

impl MalformedSearch {
    /// Follows the losses from now on.
    pub(super) fn new(scope: &Arc<HandlerScope>) -> Self {
        Self {
            followed: suspected_losses(scope),
            scope: Arc::clone(scope),
            searched: SearchedRange::default(),
            running: None,
        }
    }

    /// Starts a search if the connection was lost since the last one began, and a stored event may have caused that.
    ///
    /// Of several losses the last one counts: a search that runs goes on, and another one follows it.
    pub(super) fn look(&mut self) {
        let losses = suspected_losses(&self.scope);
        if self.running.is_some() || losses == self.followed {
            return;
        }
        self.followed = losses;
        let search = search(Arc::clone(&self.scope), self.searched);
        self.running = Some(RunningSearch {
            began: Instant::now(),
            search: search.boxed(),
        });
    }

    /// Returns whether no further events should be requested for now.
    pub(super) fn holds_up(&self) -> bool {
        let is_recent = |running: &RunningSearch| running.began.elapsed() < MAX_HOLD;
        self.running.as_ref().is_some_and(is_recent)
    }

    /// Returns once a search has ended; never while there is none. Cancel safe.
    pub(super) async fn ended(&mut self) {
        match &mut self.running {
            Some(running) => {
                self.searched = running.search.as_mut().await;
                self.running = None;
            }
            None => std::future::pending().await,
        }
    }
}

/// Returns the number of losses that a stored event may have caused, of the connection that carries the deliveries.
fn suspected_losses(scope: &HandlerScope) -> u64 {
    let connection = &scope.acknowledger.consumer.connection;
    connection.mux().counts().suspected_cuts()
}

/// Searches until all that was delivered is read, or JetStream does not reply with it; returns how far it came.
///
/// Its requests go over the connection of the deliveries, which may be lost again meanwhile: other consumers of the
/// process may have such events as well. It goes on where it was then.
async fn search(scope: Arc<HandlerScope>, mut searched: SearchedRange) -> SearchedRange {
    let connection = &scope.acknowledger.consumer.connection;
    loop {
        match search_once(&scope, &mut searched).await {
            Ok(()) => return searched,
            Err(error) if error.is_disconnected() && !connection.is_closed() => {
                connection.pause(RETRY_INTERVAL).await;
            }
            Err(error) if error.is_refused() => {
                scope.acknowledger.logs.unsearchable(error);
                return searched;
            }
            // JetStream is away for a moment. The next loss starts another search.
            Err(error) => {
                tracing::debug!(%error, "a search for malformed stored events has failed");
                return searched;
            }
        }
    }
}

/// Reads what was delivered and is not known to be well, in the order of the stream, and gives up what is malformed.
///
/// One request for each event, as `next_by_subj` passes over what lies between them for others. Events that other
/// processes hold, and those that are acknowledged above the floor, are read as well: the server does not report which
/// are pending.
///
/// # Errors
///
/// Of the first request that fails; `searched` has what was read before.
async fn search_once(scope: &HandlerScope, searched: &mut SearchedRange) -> Result<(), ApiError> {
    let consumer = &scope.acknowledger.consumer;
    let (stream, filter) = (&*consumer.stream, consumer.filter());
    let api = Api::new(&consumer.connection);
    let info = match api.consumer_info(stream, consumer.name()).await {
        Ok(info) => info,
        // Deleted, which its pulls show.
        Err(error) if error.is(ErrorCode::CONSUMER_NOT_FOUND) => return Ok(()),
        Err(error) => return Err(error),
    };
    let created_ns = info.created.unix_timestamp_nanos();
    if searched.created_ns != created_ns {
        *searched = SearchedRange {
            created_ns,
            through: 0,
        };
    }
    let last = info.delivered.stream_sequence;
    searched.through = searched.through.max(info.ack_floor.stream_sequence);
    while searched.through < last {
        let start = StartFrom::Sequence(searched.through + 1);
        let next = api.next_message(stream, start, filter).await?;
        let Some(message) = next.filter(|message| message.sequence <= last) else {
            searched.through = last;
            break;
        };
        if let Some(flaw) = api.flaw(stream, &message).await? {
            give_up(scope, &message, flaw).await?;
        }
        searched.through = message.sequence;
    }
    Ok(())
}

/// Gives an event up that cannot be received: stores its dead letter, if this consumer has any, and ends its
/// redelivery. It counts as received and as undecodable, as one whose bytes are no such event.
///
/// # Errors
///
/// If the termination is not confirmed, or the server stops before the letter is stored.
async fn give_up(
    scope: &HandlerScope,
    message: &StoredMessage,
    flaw: &'static str,
) -> Result<(), ApiError> {
    let acknowledger = &scope.acknowledger;
    let consumer = &acknowledger.consumer;
    let (stream, name) = (&*consumer.stream, consumer.name());
    let reply = ack_subject::ack(stream, name, message.sequence, message.stored_ns);
    let mut headers = HeaderMap::new();
    let raw = &message.headers[..message.headers.len().min(MAX_RAW_HEADERS_LEN)];
    headers.insert(stored::DEAD_RAW_HEADERS, raw);
    // A letter has more headers than its event: one that does not fit would never be stored, and hold up all others.
    let room = consumer.connection.max_payload();
    let room = room.saturating_sub(raw.len() + message.subject.len() + MAX_LETTER_HEADERS_LEN);
    let mut payload = message.payload();
    let length = payload.len();
    payload.truncate(room);
    let status = Reason::BadHeader.status(match payload.len() < length {
        true => format!("{flaw}; the letter has {room} of the {length} bytes of its payload"),
        false => flaw.to_owned(),
    });
    let delivery = PendingDelivery::unreceived(
        Delivery::unreceived(&consumer.stream, message.sequence, message.stored_ns),
        Subject::from(&*message.subject),
        headers,
        payload,
        reply,
    );
    // A server that stops leaves the letter to the next one.
    acknowledger
        .store_letter(&delivery, &status)
        .await
        .map_err(ApiError::NoReply)?;
    let term = acknowledger.termination(&status);
    let api = Api::new(&consumer.connection);
    api.acknowledge(delivery.reply.clone(), term).await?;
    acknowledger.counters.record_received();
    acknowledger.counters.record(Some(&status));
    acknowledger.note_given_up(&delivery, &status);
    Ok(())
}
