//! The request multiplexer: one inbox per connection, one slot per call that waits.

mod table;

use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use async_nats::{Message, Subject};

use crate::mux::table::{Delivery, Key, Table};
use crate::status::Status;
use crate::sync::lock;

/// What a call is woken with: the reply, or why there will be none.
pub(crate) type Reply = Result<Message, Status>;

/// The calls of one connection that wait for a reply.
pub(crate) struct Mux {
    inbox: Subject,
    table: Mutex<Table<Reply>>,
}

/// One wait for one reply. Dropping it frees the slot at once.
pub(crate) struct Waiting {
    mux: Arc<Mux>,
    key: Option<Key>,
}

impl Mux {
    pub(crate) fn new(inbox: &str) -> Self {
        Self {
            inbox: Subject::from(inbox),
            table: Mutex::new(Table::new(inbox)),
        }
    }

    /// The subject under which all replies arrive, without its last token.
    pub(crate) fn inbox(&self) -> &Subject {
        &self.inbox
    }

    /// Takes a slot, and names the subject that the reply is to go to; a unique one is never used
    /// again.
    pub(crate) fn open(self: &Arc<Self>, is_unique: bool) -> (Waiting, Subject) {
        let (key, subject) = lock(&self.table).open(is_unique);
        let waiting = Waiting {
            mux: Arc::clone(self),
            key: Some(key),
        };
        (waiting, subject)
    }

    /// Hands a message that arrived under the inbox to the call that waits for it.
    pub(crate) fn deliver(&self, message: Message) {
        let Some(key) = message
            .subject
            .strip_prefix(self.inbox.as_str())
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(Key::parse)
        else {
            tracing::warn!(subject = %message.subject, "a message in the inbox is no reply");
            return;
        };
        let delivery = lock(&self.table).deliver(key, Ok(message));
        match delivery {
            Delivery::Woken(Some(waker)) => waker.wake(),
            Delivery::Woken(None) => {}
            Delivery::Late => tracing::debug!(?key, "a reply came too late"),
            Delivery::Repeated => tracing::warn!(?key, "a request was answered twice"),
        }
    }

    /// Ends every call that waits.
    pub(crate) fn fail_all(&self, status: &Status) {
        let wakers = lock(&self.table).fail_all(|| Err(status.clone()));
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}

impl Waiting {
    /// Asks for the reply; there is one at most.
    pub(crate) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Reply> {
        let Some(key) = self.key else {
            return Poll::Pending;
        };
        let polled = lock(&self.mux.table).poll(key, cx.waker());
        if polled.is_ready() {
            self.key = None;
        }
        polled
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            lock(&self.mux.table).close(key);
        }
    }
}
