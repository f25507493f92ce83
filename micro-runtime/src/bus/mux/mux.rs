//! The request multiplexer: one inbox per connection, one slot per call that waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use async_nats::{Message, Subject};

use crate::bus::mux::table::{DeliveryOutcome, SlotKey, SlotTable};
use crate::status::Status;
use crate::sync::lock;
use crate::wire::header::MICRO_STREAM;

/// So many calls and streams at least.
const BATCHING_THRESHOLD: usize = 4;

/// What a call is woken with: the reply, or why there will be none.
pub(crate) type ReplyResult = Result<Message, Status>;

/// One end of a stream, which takes everything that comes under its subject. Never waits.
pub(crate) trait FrameSink: Send + Sync {
    fn deliver(&self, message: Message);

    /// The connection is lost.
    fn fail(&self, status: &Status);
}

/// The calls of one connection that wait for a reply, and its streams at both ends.
pub(crate) struct Mux {
    inbox: Subject,
    table: Mutex<SlotTable<ReplyResult, Arc<dyn FrameSink>>>,
    /// The streams that are served, by name.
    inbound_streams: Mutex<HashMap<String, Arc<dyn FrameSink>>>,
}

/// One wait for one reply, or for all that comes for a stream. Dropping it frees the slot at once.
pub(crate) struct ReplySlot {
    mux: Arc<Mux>,
    key: Option<SlotKey>,
    should_batch: bool,
}

/// A stream that is served. Dropping it makes it unknown.
pub(crate) struct InboundStream {
    mux: Arc<Mux>,
    name: String,
}

impl Mux {
    pub(crate) fn new(inbox: &str) -> Self {
        Self {
            inbox: Subject::from(inbox),
            table: Mutex::new(SlotTable::new(inbox)),
            inbound_streams: Mutex::default(),
        }
    }

    /// The subject under which all replies arrive, without its last token.
    pub(crate) fn inbox(&self) -> &Subject {
        &self.inbox
    }

    /// Takes a slot, and names the subject that the reply is to go to; a unique one is never used
    /// again.
    pub(crate) fn reserve(self: &Arc<Self>, is_unique: bool) -> (ReplySlot, Subject) {
        let mut table = lock(&self.table);
        let (key, subject) = table.reserve(is_unique);
        let should_batch = table.in_use() >= BATCHING_THRESHOLD;
        drop(table);
        let slot = ReplySlot {
            mux: Arc::clone(self),
            key: Some(key),
            should_batch,
        };
        (slot, subject)
    }

    /// Takes a slot for a stream, and names the subject under which it hears.
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

    /// Makes a stream known that is served.
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

    /// The stream of this name, if it is served.
    pub(crate) fn inbound_stream(&self, name: &str) -> Option<Arc<dyn FrameSink>> {
        lock(&self.inbound_streams).get(name).cloned()
    }

    /// Hands a message that arrived under the inbox to whoever waits for it.
    pub(crate) fn deliver(&self, message: Message) {
        let Some(key) = self.key(&message.subject) else {
            tracing::warn!(subject = %message.subject, "a message in the inbox is no reply");
            return;
        };
        let delivery = lock(&self.table).deliver(key, Ok(message));
        match delivery {
            DeliveryOutcome::Woken(Some(waker)) => waker.wake(),
            DeliveryOutcome::Stream(sink, Ok(message)) => sink.deliver(message),
            DeliveryOutcome::Woken(None) | DeliveryOutcome::Stream(_, Err(_)) => {}
            DeliveryOutcome::Late => tracing::debug!(?key, "a reply came too late"),
            DeliveryOutcome::Repeated => tracing::warn!(?key, "a request was answered twice"),
        }
    }

    /// Ends the wait for the reply under this subject: its request was not sent.
    pub(crate) fn fail(&self, subject: &Subject, status: Status) {
        let Some(key) = self.key(subject) else {
            return;
        };
        let delivery = lock(&self.table).deliver(key, Err(status));
        if let DeliveryOutcome::Woken(Some(waker)) = delivery {
            waker.wake();
        }
    }

    /// Leaves out whatever is for the reply of a call that waits no more.
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
        let token = subject.strip_prefix(self.inbox.as_str())?;
        SlotKey::parse(token.strip_prefix('.')?)
    }

    /// Ends every call that waits, and every stream.
    pub(crate) fn fail_all(&self, status: &Status) {
        let (wakers, mut sinks) = lock(&self.table).fail_all(|| Err(status.clone()));
        wakers.into_iter().for_each(std::task::Waker::wake);
        sinks.extend(lock(&self.inbound_streams).values().cloned());
        sinks.iter().for_each(|sink| sink.fail(status));
    }
}

impl ReplySlot {
    /// Says whether many waited when this one began: their replies arrive in bursts, and what those
    /// bring about may as well leave in one.
    pub(crate) fn should_batch(&self) -> bool {
        self.should_batch
    }

    /// Asks for the reply; there is one at most. The slot is kept for `attach` where the reply says
    /// that it goes on as a stream.
    pub(crate) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<ReplyResult> {
        let Some(key) = self.key else {
            return Poll::Pending;
        };
        let mut is_followed = false;
        let polled = lock(&self.mux.table).poll(key, cx.waker(), |reply| {
            is_followed = continues_as_stream(reply);
            is_followed
        });
        if polled.is_ready() && !is_followed {
            self.key = None;
        }
        polled
    }

    /// Goes on as the slot of a stream, after a reply that says so; names its subject.
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

/// Says whether more comes after a reply: it names the stream that it goes on as.
fn continues_as_stream(reply: &ReplyResult) -> bool {
    let headers = reply.as_ref().ok().and_then(|reply| reply.headers.as_ref());
    headers.is_some_and(|headers| headers.get(MICRO_STREAM).is_some())
}
