//! `Mux`: delivers what arrives in the inbox of a connection to the call or stream that waits for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{Message, Subject};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::bus::connection_counts::ConnectionCounts;
use crate::bus::mux::received_reply::ReceivedReply;
use crate::bus::mux::refused_subjects::RefusedSubjects;
use crate::bus::mux::slot::SlotKey;
use crate::bus::mux::table::{DeliveryOutcome, SlotTable};
use crate::bus::outgoing::Outgoing;
use crate::status::Status;
use crate::sync::lock;
use crate::wire::subject::reply_token;

/// Interval at which is looked whether calls have taken out their results.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// Maximum number of ended streams of one connection that wait for an ACCEPT, to reset its sender.
const MAX_LATE_ACCEPTS: usize = 1024;
/// The same of those that a responder has refused: a second one rarely accepts, and a flood of refusals must leave room
/// for streams that their callers have dropped.
const MAX_REFUSED_LATE_ACCEPTS: usize = 256;

/// Result of the wait for a reply, or the reason why none will arrive.
pub(crate) type ReplyResult = Result<ReceivedReply, Status>;

/// Receiver of everything that arrives for one end of a stream.
///
/// All methods are called by the task that reads the inbox of the whole connection, so an implementation must
/// not wait: a slow stream would hold up every reply of every call.
pub(crate) trait FrameSink: Send + Sync {
    /// Takes a frame, or what may come in place of one; returns whether it belongs to the stream.
    fn deliver(&self, message: Message) -> bool;

    /// Ends the stream, since the connection is lost.
    fn fail(&self, status: &Status);

    /// Ends the stream, since NATS refuses its messages: the request if `is_opening`, which no longer matters once
    /// the peer has accepted, otherwise the frames.
    fn refuse(&self, status: &Status, is_opening: bool);
}

/// The calls of one connection that wait for a reply, and its streams.
///
/// # Locking
///
/// Two locks, `state` and `inbound_streams`, never held together and never while a waker or a [`FrameSink`] is
/// called: a waker may run any code, including a drop that takes the lock again. So each method collects what
/// it has to wake, releases the lock, and wakes.
pub(crate) struct Mux {
    pub(super) inbox: Subject,
    pub(super) state: Mutex<MuxState>,
    /// Streams that a server of this connection serves, by their token. Their frames arrive on the instance's
    /// `_up` subject and not in the inbox, but they end with the connection as well.
    pub(super) inbound_streams: Mutex<HashMap<String, ServedSink>>,
    /// Notified behind each refusal of the inbox's subscription.
    pub(super) inbox_refusal: Notify,
    counts: Arc<ConnectionCounts>,
    confirmed: Arc<ConfirmedRequests>,
    /// Room for ended streams that keep their slot, and wait for an ACCEPT. Without a bound a service that refuses
    /// every opening would cost its caller seconds of slots and tasks.
    late_accepts: Semaphore,
    refused_late_accepts: Semaphore,
}

/// Place of the last request, in the order of all, that NATS is known to have taken. All are where nothing confirms
/// any.
pub(crate) struct ConfirmedRequests(AtomicU64);

pub(super) struct MuxState {
    pub(super) table: SlotTable<ReplyResult, Arc<dyn FrameSink>>,
    /// Under the same lock: a request that finds its subject allowed has its slot before a refusal can arrive.
    pub(super) refused: RefusedSubjects,
    /// Error of everything that waits for a reply, once the connection is closed for good.
    pub(super) closed: Option<Status>,
}

/// The server's end of a stream, and the subject that its frames go to.
pub(super) struct ServedSink {
    pub(super) sink: Arc<dyn FrameSink>,
    pub(super) destination: Subject,
}

/// Registration of a stream that is served. Dropping it removes the stream; later frames for it get
/// RESET `UNAVAILABLE` in reply.
pub(crate) struct InboundStream {
    mux: Arc<Mux>,
    name: String,
}

impl Mux {
    /// Returns a mux for the inbox with these first tokens.
    pub(crate) fn new(inbox: &str) -> Self {
        Self {
            inbox: Subject::from(inbox),
            state: Mutex::new(MuxState {
                table: SlotTable::new(inbox, rand::make_rng()),
                refused: RefusedSubjects::default(),
                closed: None,
            }),
            inbound_streams: Mutex::default(),
            inbox_refusal: Notify::new(),
            counts: Arc::default(),
            confirmed: Arc::new(ConfirmedRequests(AtomicU64::new(u64::MAX))),
            late_accepts: Semaphore::new(MAX_LATE_ACCEPTS),
            refused_late_accepts: Semaphore::new(MAX_REFUSED_LATE_ACCEPTS),
        }
    }

    /// Returns the subject under which all replies arrive, without the last token.
    pub(crate) fn inbox(&self) -> &Subject {
        &self.inbox
    }

    /// Returns what is known to be confirmed, for the pulses of a link.
    pub(crate) fn confirmed(&self) -> &Arc<ConfirmedRequests> {
        &self.confirmed
    }

    /// Returns the place of the request that was sent last.
    pub(crate) fn last_order(&self) -> u64 {
        lock(&self.state).table.last_order()
    }

    /// Returns the number of slots that are reserved.
    #[cfg(test)]
    pub(crate) fn reserved_slots(&self) -> usize {
        lock(&self.state).table.in_use()
    }

    /// Reserves room for an ended stream that waits for an ACCEPT, refused or not; `None` while too many do.
    pub(crate) fn reserve_late_accept(&self, is_refused: bool) -> Option<SemaphorePermit<'_>> {
        let room = match is_refused {
            true => &self.refused_late_accepts,
            false => &self.late_accepts,
        };
        room.try_acquire().ok()
    }

    /// Notes that the stream under this reply subject is accepted, and sends its frames to `destination`.
    pub(crate) fn set_destination(&self, reply: &Subject, destination: &Subject) {
        if let Some(key) = self.key(reply) {
            lock(&self.state)
                .table
                .set_destination(key, destination.clone());
        }
    }

    /// Registers the server's end of a stream under the token that the client appends to `_up.`; its own frames
    /// go to `destination`.
    pub(crate) fn register_stream(
        self: &Arc<Self>,
        name: &str,
        sink: Arc<dyn FrameSink>,
        destination: Subject,
    ) -> InboundStream {
        let served = ServedSink { sink, destination };
        lock(&self.inbound_streams).insert(name.to_owned(), served);
        InboundStream {
            mux: Arc::clone(self),
            name: name.to_owned(),
        }
    }

    /// Notes where the frames of a served stream go from here on.
    pub(crate) fn redirect_stream(&self, name: &str, destination: &Subject) {
        if let Some(served) = lock(&self.inbound_streams).get_mut(name) {
            served.destination = destination.clone();
        }
    }

    /// Returns the registered stream of this name; `None` if it has ended or never existed.
    pub(crate) fn inbound_stream(&self, name: &str) -> Option<Arc<dyn FrameSink>> {
        lock(&self.inbound_streams)
            .get(name)
            .map(|served| Arc::clone(&served.sink))
    }

    /// Delivers a message that arrived in the inbox to the slot that its subject names.
    ///
    /// A message that no slot waits for is counted and dropped: it is late, which every timeout may cause, or a
    /// second reply to one request, or forged.
    pub(crate) fn deliver(&self, message: Message) {
        let Some(key) = self.key(&message.subject) else {
            return self.count_unmatched();
        };
        let reply = |message| Ok(ReceivedReply::from(message));
        let outcome = lock(&self.state).table.deliver_as(key, message, reply);
        match outcome {
            DeliveryOutcome::Woken(Some(waker)) => waker.wake(),
            DeliveryOutcome::Stream(sink, message) => {
                if !sink.deliver(message) {
                    self.count_unmatched();
                }
            }
            DeliveryOutcome::Woken(None) => {}
            DeliveryOutcome::Unmatched => self.count_unmatched(),
        }
    }

    /// Returns the counts of the connection.
    pub(crate) fn counts(&self) -> &Arc<ConnectionCounts> {
        &self.counts
    }

    /// Returns the number of messages that arrived in the inbox and that no call waited for.
    pub(crate) fn unmatched(&self) -> u64 {
        self.counts.unmatched_replies()
    }

    /// Counts a message that arrived in an inbox and that no call waits for.
    #[cold]
    pub(crate) fn count_unmatched(&self) {
        self.counts.unmatched_reply();
    }

    /// Ends the wait for the reply under this subject with an error: its request could not be sent.
    pub(crate) fn fail(&self, subject: &Subject, status: Status) {
        let Some(key) = self.key(subject) else {
            return;
        };
        let mut state = lock(&self.state);
        state.table.mark_unsent(key);
        let outcome = state.table.deliver(key, Err(status));
        drop(state);
        match outcome {
            DeliveryOutcome::Woken(Some(waker)) => waker.wake(),
            DeliveryOutcome::Stream(sink, Err(status)) => sink.fail(&status),
            _ => {}
        }
    }

    /// Removes from `requests` each whose reply subject belongs to a call that no longer waits. Those without a
    /// reply subject, or with one outside of this inbox, stay.
    ///
    /// One lock for the whole list: the outbox calls it for each batch, which it then sends in this order.
    pub(crate) fn retain_waiting(&self, requests: &mut Vec<Outgoing>) {
        let mut state = lock(&self.state);
        requests.retain(|request| {
            let key = request.reply.as_ref().and_then(|reply| self.key(reply));
            key.is_none_or(|key| state.table.mark_sent(key))
        });
    }

    /// Gives the request with this reply subject the last place among all, as it is sent now. Returns whether its call
    /// still waits for the reply; also true for a reply subject outside of this inbox.
    pub(crate) fn mark_sent(&self, reply: &Subject) -> bool {
        let key = self.key(reply);
        key.is_none_or(|key| lock(&self.state).table.mark_sent(key))
    }

    /// Takes its place from a request that was not sent after all.
    pub(crate) fn mark_unsent(&self, reply: &Subject) {
        if let Some(key) = self.key(reply) {
            lock(&self.state).table.mark_unsent(key);
        }
    }

    fn key(&self, subject: &Subject) -> Option<SlotKey> {
        SlotKey::parse(reply_token(&self.inbox, subject)?)
    }

    /// Ends every waiting call, and every stream at both ends, with this error.
    pub(crate) fn fail_all(&self, status: &Status) {
        self.fail_waiting(status);
        let served = lock(&self.inbound_streams)
            .values()
            .map(|served| Arc::clone(&served.sink))
            .collect::<Vec<_>>();
        served.iter().for_each(|sink| sink.fail(status));
    }

    /// Ends everything as [`fail_all`](Self::fail_all) does, and whatever begins to wait from here on: the connection
    /// is closed for good.
    ///
    /// async-nats accepts messages for a moment after it has reported the end, and drops them without an error.
    pub(crate) fn close(&self, status: &Status) {
        lock(&self.state).closed = Some(status.clone());
        self.fail_all(status);
    }

    /// Returns once each call that has its result has taken it out. Cancel safe.
    pub(crate) async fn results_taken(&self) {
        while lock(&self.state).table.has_ready() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Ends every wait for something in the inbox with this error: calls, and streams at the client.
    pub(super) fn fail_waiting(&self, status: &Status) {
        let mut state = lock(&self.state);
        state.table.forget_confirmed(self.confirmed.last());
        let (wakers, sinks) = state.table.fail_all(|| Err(status.clone()));
        drop(state);
        wakers.into_iter().for_each(std::task::Waker::wake);
        sinks.iter().for_each(|sink| sink.fail(status));
    }
}

impl ConfirmedRequests {
    /// Notes that NATS has taken the requests up to this place; all of them for `u64::MAX`.
    pub(crate) fn set(&self, order: u64) {
        self.0.store(order, Ordering::SeqCst);
    }

    /// Notes that NATS has taken the requests up to this place, unless later ones are known to be taken.
    pub(crate) fn raise(&self, order: u64) {
        self.0.fetch_max(order, Ordering::SeqCst);
    }

    pub(crate) fn last(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for InboundStream {
    fn drop(&mut self) {
        lock(&self.mux.inbound_streams).remove(&self.name);
    }
}

#[cfg(test)]
#[path = "mux_tests.rs"]
mod tests;
