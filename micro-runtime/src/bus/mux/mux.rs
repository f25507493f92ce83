//! `Mux`: delivers what arrives in the inbox of a connection to the call or stream that waits for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use async_nats::{Message, Subject};

use crate::bus::mux::table::{DeliveryOutcome, SlotKey, SlotTable};
use crate::observe;
use crate::status::Status;
use crate::sync::lock;
use crate::wire::header::continues_as_stream;
use crate::wire::subject::reply_token;

/// Number of reserved slots from which requests go through the outbox. With fewer calls in flight replies do not
/// arrive in bursts, and a request that waits for others would only be late.
const BATCHING_THRESHOLD: usize = 4;

/// Result of the wait for a reply: the message, or the reason why none will arrive.
pub(crate) type ReplyResult = Result<Message, Status>;

/// Receiver of everything that arrives for one end of a stream.
///
/// Both methods are called by the task that reads the inbox of the whole connection, so an implementation must
/// not wait: a slow stream would hold up every reply of every call.
pub(crate) trait FrameSink: Send + Sync {
    /// Takes a frame, or a status of NATS in place of one.
    fn deliver(&self, message: Message);

    /// Ends the stream, since the connection is lost.
    fn fail(&self, status: &Status);
}

/// The calls of one connection that wait for a reply, and its streams.
///
/// # Locking
///
/// Two locks, `table` and `inbound_streams`, never held together and never while a waker or a [`FrameSink`] is
/// called: a waker may run any code, including a drop that takes the lock again. So each method collects what
/// it has to wake, releases the lock, and wakes.
pub(crate) struct Mux {
    inbox: Subject,
    table: Mutex<SlotTable<ReplyResult, Arc<dyn FrameSink>>>,
    /// Streams that a server of this connection serves, by their token. Their frames arrive on the instance's
    /// `_up` subject and not in the inbox, but they end with the connection as well.
    inbound_streams: Mutex<HashMap<String, Arc<dyn FrameSink>>>,
    /// Number of messages in the inbox that no call waited for.
    unmatched: AtomicU64,
}

/// One reserved slot: the wait for one reply, or for all frames of a stream. Dropping it frees the slot at once,
/// so that an abandoned call costs nothing; a reply that arrives later finds no slot.
pub(crate) struct ReplySlot {
    mux: Arc<Mux>,
    /// `None` once the reply was taken out, which freed the slot.
    key: Option<SlotKey>,
    should_batch: bool,
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
            table: Mutex::new(SlotTable::new(inbox, rand::make_rng())),
            inbound_streams: Mutex::default(),
            unmatched: AtomicU64::new(0),
        }
    }

    /// Returns the subject under which all replies arrive, without the last token.
    pub(crate) fn inbox(&self) -> &Subject {
        &self.inbox
    }

    /// Reserves a slot for a call, and returns the subject for its reply, which no other call has before or
    /// after.
    pub(crate) fn reserve(self: &Arc<Self>) -> (ReplySlot, Subject) {
        let mut table = lock(&self.table);
        let (key, subject) = table.reserve();
        let should_batch = table.in_use() >= BATCHING_THRESHOLD;
        drop(table);
        let slot = ReplySlot {
            mux: Arc::clone(self),
            key: Some(key),
            should_batch,
        };
        (slot, subject)
    }

    /// Reserves a slot for the client's end of a stream, and returns the subject for the server's frames.
    pub(crate) fn reserve_for_stream(
        self: &Arc<Self>,
        sink: Arc<dyn FrameSink>,
    ) -> (ReplySlot, Subject) {
        let (key, subject) = lock(&self.table).reserve_for_stream(sink);
        let slot = ReplySlot {
            mux: Arc::clone(self),
            key: Some(key),
            should_batch: false,
        };
        (slot, subject)
    }

    /// Registers the server's end of a stream under the token that the client appends to `_up.`.
    pub(crate) fn register_stream(
        self: &Arc<Self>,
        name: &str,
        sink: Arc<dyn FrameSink>,
    ) -> InboundStream {
        lock(&self.inbound_streams).insert(name.to_owned(), sink);
        InboundStream {
            mux: Arc::clone(self),
            name: name.to_owned(),
        }
    }

    /// Returns the registered stream of this name; `None` if it has ended or never existed.
    pub(crate) fn inbound_stream(&self, name: &str) -> Option<Arc<dyn FrameSink>> {
        lock(&self.inbound_streams).get(name).cloned()
    }

    /// Delivers a message that arrived in the inbox to the slot that its subject names.
    ///
    /// A message that no slot waits for is counted and dropped: it is late, which every timeout may cause, or a
    /// second reply to one request, or forged.
    pub(crate) fn deliver(&self, message: Message) {
        let Some(key) = self.key(&message.subject) else {
            return self.count_unmatched();
        };
        let outcome = lock(&self.table).deliver(key, Ok(message));
        match outcome {
            DeliveryOutcome::Woken(Some(waker)) => waker.wake(),
            DeliveryOutcome::Stream(sink, Ok(message)) => sink.deliver(message),
            DeliveryOutcome::Woken(None) | DeliveryOutcome::Stream(_, Err(_)) => {}
            DeliveryOutcome::Unmatched => self.count_unmatched(),
        }
    }

    /// Returns the number of messages that arrived in the inbox and that no call waited for.
    pub(crate) fn unmatched(&self) -> u64 {
        self.unmatched.load(Ordering::Relaxed)
    }

    #[cold]
    fn count_unmatched(&self) {
        let count = self.unmatched.fetch_add(1, Ordering::Relaxed) + 1;
        observe::reply_unmatched();
        tracing::debug!(
            count,
            "no call waits for a message in the inbox: it is late, a second reply or forged"
        );
    }

    /// Ends the wait for the reply under this subject with an error: its request could not be sent.
    pub(crate) fn fail(&self, subject: &Subject, status: Status) {
        let Some(key) = self.key(subject) else {
            return;
        };
        let outcome = lock(&self.table).deliver(key, Err(status));
        if let DeliveryOutcome::Woken(Some(waker)) = outcome {
            waker.wake();
        }
    }

    /// Removes from `list` each item whose reply subject belongs to a call that no longer waits. Items without a
    /// reply subject, or with one outside of this inbox, stay.
    ///
    /// One lock for the whole list: the outbox calls it for each batch.
    pub(crate) fn retain_waiting<T>(
        &self,
        list: &mut Vec<T>,
        reply: impl Fn(&T) -> Option<&Subject>,
    ) {
        let table = lock(&self.table);
        list.retain(|item| {
            let key = reply(item).and_then(|reply| self.key(reply));
            key.is_none_or(|key| table.is_waiting(key))
        });
    }

    fn key(&self, subject: &Subject) -> Option<SlotKey> {
        SlotKey::parse(reply_token(&self.inbox, subject)?)
    }

    /// Ends every waiting call, and every stream at both ends, with this error.
    pub(crate) fn fail_all(&self, status: &Status) {
        let (wakers, mut sinks) = lock(&self.table).fail_all(|| Err(status.clone()));
        wakers.into_iter().for_each(std::task::Waker::wake);
        sinks.extend(lock(&self.inbound_streams).values().cloned());
        sinks.iter().for_each(|sink| sink.fail(status));
    }
}

impl ReplySlot {
    /// Returns whether many slots were reserved when this one was: then replies arrive in bursts, and the
    /// requests that follow them should leave in one write, through the outbox.
    pub(crate) fn should_batch(&self) -> bool {
        self.should_batch
    }

    /// Polls for the reply. At most one is returned; afterwards this is pending for ever.
    ///
    /// The slot is freed with the reply, unless that has the header `Micro-Stream`: a large reply continues as
    /// a stream under the same subject, and the slot is kept for [`attach_stream`](Self::attach_stream).
    /// Cancel safe.
    pub(crate) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<ReplyResult> {
        let Some(key) = self.key else {
            return Poll::Pending;
        };
        let mut is_followed = false;
        let polled = lock(&self.mux.table).poll(key, cx.waker(), |reply| {
            let headers = reply.as_ref().ok().and_then(|reply| reply.headers.as_ref());
            is_followed = continues_as_stream(headers);
            is_followed
        });
        if polled.is_ready() && !is_followed {
            self.key = None;
        }
        polled
    }

    /// Attaches a stream to a slot whose reply continues as one, and returns its subject; `None` in any other
    /// state.
    pub(crate) fn attach_stream(&self, sink: Arc<dyn FrameSink>) -> Option<Subject> {
        lock(&self.mux.table).attach_stream(self.key?, sink)
    }
}

impl Drop for ReplySlot {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            lock(&self.mux.table).close(key);
        }
    }
}

impl Drop for InboundStream {
    fn drop(&mut self) {
        lock(&self.mux.inbound_streams).remove(&self.name);
    }
}
