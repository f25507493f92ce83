//! `ReplySlot`: one reserved slot, from the moment before its request is published until its reply was taken out.

use std::future::Future;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use async_nats::Subject;

use crate::bus::mux::mux::{FrameSink, Mux, MuxState, ReplyResult};
use crate::bus::mux::received_reply::ReceivedReply;
use crate::bus::mux::slot::{ClosedSlot, RequestProgress, SlotKey};
use crate::bus::mux::table::DeliveryOutcome;
use crate::bus::outgoing::PublishError;
use crate::status::Status;
use crate::sync::lock;
use crate::wire::CancelToken;
use crate::wire::header::continues_as_stream;

/// Number of reserved slots, that of the pulses among them, from which requests go through the outbox. With fewer calls
/// in flight replies do not arrive in bursts, and a request that waits for others would only be late.
const BATCHING_THRESHOLD: usize = 5;

/// One reserved slot: the wait for one reply, or for all frames of a stream. Dropping it frees the slot at once,
/// so that an abandoned call costs nothing; a reply that arrives later finds no slot.
///
/// Its request has a place among all that were sent from the poll in which the carrier takes it
/// ([`poll_publish`](Self::poll_publish)), by which a refusal of NATS finds it. A request that never left has none, so
/// that it does not use up the refusal of another.
pub(crate) struct ReplySlot {
    mux: Arc<Mux>,
    /// `None` once the reply was taken out, which freed the slot; that of a failure is kept.
    key: Option<SlotKey>,
    should_batch: bool,
    /// Whether the request has its place already. The outbox gives it to those that it sends, without noting it here.
    is_sent: bool,
    /// How far the request had come when the wait ended with an error.
    failed: Option<RequestProgress>,
}

/// A request whose caller waits no more: what names its call to the server, and its place among all requests.
#[derive(Clone, Copy)]
pub(crate) struct AbandonedRequest {
    pub(crate) token: CancelToken,
    pub(crate) order: NonZeroU64,
}

impl Mux {
    /// Reserves a slot for a call whose request goes to `destination`, and returns the subject for its reply, which
    /// no other call has before or after.
    ///
    /// The caller must publish the request next, and must know that it is not too long: unless it
    /// [should be batched](ReplySlot::should_batch) it counts as sent from here on, which spares a plain call a second
    /// lock.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED` if NATS has just refused to take messages for `destination`, or refuses the subscription
    /// of the inbox, so that no reply can arrive.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        destination: &Subject,
    ) -> Result<(ReplySlot, Subject), Status> {
        let mut state = lock(&self.state);
        state.refused.check(destination)?;
        let (key, subject) = state.table.reserve(destination.clone());
        state.end_if_closed(key);
        let should_batch = state.table.in_use() >= BATCHING_THRESHOLD;
        if !should_batch {
            state.table.mark_sent(key);
        }
        drop(state);
        let slot = ReplySlot {
            mux: Arc::clone(self),
            key: Some(key),
            should_batch,
            is_sent: !should_batch,
            failed: None,
        };
        Ok((slot, subject))
    }

    /// Reserves a slot for a message to the own inbox, and returns its subject.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED` if NATS refuses the subscription of the inbox.
    pub(crate) fn reserve_own(self: &Arc<Self>) -> Result<(ReplySlot, Subject), Status> {
        let mut state = lock(&self.state);
        state.refused.check_inbox()?;
        let (key, subject) = state.table.reserve_own();
        state.end_if_closed(key);
        drop(state);
        Ok((self.unsent_slot(key), subject))
    }

    /// Reserves a slot for the client's end of a stream whose request goes to `destination`, and returns the
    /// subject for the server's frames.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve).
    pub(crate) fn reserve_for_stream(
        self: &Arc<Self>,
        sink: Arc<dyn FrameSink>,
        destination: &Subject,
    ) -> Result<(ReplySlot, Subject), Status> {
        let mut state = lock(&self.state);
        state.refused.check(destination)?;
        let (key, subject) = state.table.reserve_for_stream(sink, destination.clone());
        let ended = state.end_if_closed(key);
        drop(state);
        if let Some((sink, status)) = ended {
            sink.fail(&status);
        }
        Ok((self.unsent_slot(key), subject))
    }

    /// Reserves a slot for messages to the own inbox, all to the subject that is returned. NATS's refusal of one ends
    /// it.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED` if NATS refuses the subscription of the inbox.
    pub(crate) fn reserve_for_pulses(
        self: &Arc<Self>,
        sink: Arc<dyn FrameSink>,
    ) -> Result<(ReplySlot, Subject), Status> {
        let mut state = lock(&self.state);
        state.refused.check_inbox()?;
        let inbox = self.inbox.clone();
        let (key, subject) = state.table.reserve_for_stream(sink, inbox);
        state.table.set_destination(key, subject.clone());
        drop(state);
        Ok((self.unsent_slot(key), subject))
    }

    fn unsent_slot(self: &Arc<Self>, key: SlotKey) -> ReplySlot {
        ReplySlot {
            mux: Arc::clone(self),
            key: Some(key),
            should_batch: false,
            is_sent: false,
            failed: None,
        }
    }
}

impl MuxState {
    /// Ends a slot that was just reserved, if the connection is closed; returns what to end for that if it is a
    /// stream's.
    fn end_if_closed(&mut self, key: SlotKey) -> Option<(Arc<dyn FrameSink>, Status)> {
        let status = self.closed.clone()?;
        match self.table.deliver(key, Err(status)) {
            DeliveryOutcome::Stream(sink, Err(status)) => Some((sink, status)),
            _ => None,
        }
    }
}

impl ReplySlot {
    pub(crate) fn mux(&self) -> &Arc<Mux> {
        &self.mux
    }

    /// Returns whether many slots were reserved when this one was: then replies arrive in bursts, and the
    /// requests that follow them should leave in one write, through the outbox.
    pub(crate) fn should_batch(&self) -> bool {
        self.should_batch
    }

    /// Polls the publish of the request, which has the last place among all requests from the poll on in which the
    /// carrier takes it. The place is given before that: a refusal can come before the poll returns.
    #[inline]
    pub(crate) fn poll_publish(
        &mut self,
        publish: Pin<&mut (impl Future<Output = Result<(), PublishError>> + ?Sized)>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), PublishError>> {
        if !self.is_sent {
            self.set_sent(true);
        }
        let published = publish.poll(cx);
        if !matches!(published, Poll::Ready(Ok(()))) {
            self.set_sent(false);
        }
        published
    }

    #[cold]
    fn set_sent(&mut self, is_sent: bool) {
        self.is_sent = is_sent;
        if let Some(key) = self.key {
            let table = &mut lock(&self.mux.state).table;
            match is_sent {
                true => drop(table.mark_sent(key)),
                false => table.mark_unsent(key),
            }
        }
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
        let mut state = lock(&self.mux.state);
        let polled = state.table.poll(key, cx.waker(), |reply| {
            let headers = reply.as_ref().ok().and_then(ReceivedReply::headers);
            is_followed = continues_as_stream(headers);
            is_followed
        });
        if matches!(polled, Poll::Ready(Err(_))) {
            self.failed = Some(state.table.progress(key));
        }
        drop(state);
        // The key of a call that has failed names it in a cancellation.
        if matches!(polled, Poll::Ready(Ok(_))) && !is_followed {
            self.key = None;
        }
        polled
    }

    /// Returns what names the call to its server, if the wait has ended with an error, and the handler may run on.
    #[cold]
    pub(crate) fn take_cancelable(&mut self) -> Option<CancelToken> {
        let key = self.key.take()?;
        let is_running = match self.failed? {
            RequestProgress::Unsent => false,
            RequestProgress::Unconfirmed => true,
            // It goes on without its reply where the connection is lost, and ends with a bus that is closed.
            RequestProgress::Confirmed => lock(&self.mux.state).closed.is_some(),
        };
        is_running.then(|| CancelToken::of_reply(key.slot, key.nonce))
    }

    /// Returns whether the wait has ended with an error before the request was sent.
    #[cold]
    pub(crate) fn was_never_sent(&self) -> bool {
        self.failed == Some(RequestProgress::Unsent)
    }

    /// Attaches a stream to a slot whose reply continues as one, and returns its subject; `None` in any other
    /// state.
    pub(crate) fn attach_stream(&self, sink: Arc<dyn FrameSink>) -> Option<Subject> {
        lock(&self.mux.state).table.attach_stream(self.key?, sink)
    }
}

impl ReplySlot {
    /// Frees the slot. Returns the request, if it was sent and there was no reply.
    pub(crate) fn abandon(&mut self) -> Option<AbandonedRequest> {
        let key = self.key.take()?;
        let mut state = lock(&self.mux.state);
        let closed = state.table.close(key);
        let abandoned = closed.as_ref().and_then(ClosedSlot::abandoned);
        let order = abandoned.map(|(_, order)| order);
        if let Some((destination, order)) = abandoned {
            state.refused.abandon(destination.clone(), order);
        }
        drop(state);
        drop(closed);
        let token = CancelToken::of_reply(key.slot, key.nonce);
        order.map(|order| AbandonedRequest { token, order })
    }
}

impl Drop for ReplySlot {
    fn drop(&mut self) {
        self.abandon();
    }
}
