//! `RequestBacklog`: the requests of one subscription that have arrived and wait for their turn.
//!
//! A loop that took one request after the other off its subscription could not tell how long each had waited there: in
//! a burst it would run handlers whose callers have long given up, and what finds no room in the subscription is lost
//! without a reply. So all that is ready is taken at once and stamped, and what exceeds the backlog is refused.
//!
//! The same holds while a reply waits for the connection. async-nats reads all that has arrived before it writes
//! (`ConnectionHandler::process`): a flood that NATS passes on as fast as it is read keeps every reply back, and what
//! nobody takes meanwhile piles up in the subscription, where nothing bounds its bytes. So it is taken here, in full
//! while memory is left for it, then as a refusal without its payload, for which the budget has a reserve, and in the
//! end it is given up.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use tokio::task::coop::unconstrained;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::bus::CarrierSubscription;
use crate::dispatch::arrival::Arrival;
use crate::dispatch::burst_refusal::BurstRefusal;
use crate::dispatch::reply::PendingReply;
use crate::memory_budget::{HeldBytes, MemoryBudget, memory_of};
use crate::wire;
use crate::wire::BrokerMessage;
use crate::wire::header::{CONTENT_TYPE, find};

/// Maximum number of requests that wait; further ones are refused. Their time bounds those that run: a method whose
/// handlers take 20 µs each needs 1.3 s for so many.
const MAX_WAITING: usize = 65_536;
/// Maximum number of requests and refusals that wait while a reply waits for the connection; further requests get no
/// reply.
const MAX_WAITING_REFUSED: usize = 4 * MAX_WAITING;
/// Maximum number of requests that are taken before the reply that waits for the connection is looked at again.
const MAX_TAKEN: usize = 1024;
/// Maximum number of requests that have their turn before what has arrived meanwhile is taken and stamped.
const MAX_TURNS: usize = 64;
/// Maximum number of requests that are refused before those that wait have turns again.
const MAX_REFUSED: usize = 1024;
/// Maximum number of turns in a row: handlers and timers of the same runtime wait meanwhile.
const MAX_TURNS_IN_A_ROW: usize = 16;
/// Number of refusals that count as one of [`MAX_TURNS_IN_A_ROW`] turns: one takes about a microsecond. Of a loop that
/// yielded as often for refusals, requests would pile up in the connection, where nothing bounds their bytes.
const REFUSALS_OF_A_TURN: usize = MAX_REFUSED / MAX_TURNS_IN_A_ROW;
/// Maximum length in bytes of a format that is kept for a refusal.
const MAX_FORMAT_LEN: usize = 128;
/// Number of requests for which room is kept once none waits.
const KEPT_ROOM: usize = 256;

/// The requests of one subscription that wait, the oldest first. One word, made at the first request: there are many
/// subscriptions, most of which are never used.
#[derive(Default)]
pub(super) struct RequestBacklog(Option<Box<RequestQueue>>);

/// The server behind a backlog, as far as it decides about the requests that are taken.
pub(super) trait Intake {
    /// Takes a message that need not wait, as the frame of a stream; returns any other one.
    fn take_at_once(&self, message: Message) -> Option<Message>;
    /// Returns whether a limit of concurrent calls is reached, so that what has arrived is refused at once.
    fn is_full(&self) -> bool;
    /// Returns the budget that the bytes of what waits are taken from.
    fn memory(&self) -> Option<&Arc<MemoryBudget>>;
    /// Returns when the requests that are read now had reached NATS at the latest; `now` if that is not known.
    fn reached_by(&self, now: Instant) -> Instant;
    /// Drops a request without a reply, and counts it: the connection takes no replies, and no memory is left to refuse
    /// it later.
    fn give_up(&self, message: Message);
}

/// The next step of the loop.
pub(super) enum Turn {
    Handle(Message, Arrival),
    /// There is no room for another one that waits, or no memory.
    Refuse(Message, Arrival, BurstRefusal),
}

#[derive(Default)]
struct RequestQueue {
    /// Whether a request came right behind another one. Otherwise none waits.
    is_burst: bool,
    waiting: VecDeque<StampedRequest>,
    /// Bytes of those that wait.
    bytes: usize,
    /// Memory that is taken for them from the budget.
    held: Option<HeldBytes>,
    /// Turns until the subscription is looked at again.
    turns: usize,
    /// Refusals since the loop yielded; a turn counts as [`REFUSALS_OF_A_TURN`].
    in_a_row: usize,
    /// Requests that were refused since the last turn.
    refused: usize,
    /// Requests that were taken at the last look.
    taken: usize,
    has_ended: bool,
}

struct StampedRequest {
    message: Message,
    reached: Instant,
    received: Instant,
    /// Why it is refused at its turn. Its payload and most of its headers are gone.
    refusal: Option<BurstRefusal>,
}

impl RequestBacklog {
    /// Polls for the next request; `None` once the subscription has ended and none is left.
    ///
    /// In a burst it yields each [`MAX_TURNS_IN_A_ROW`]; taking what is ready costs none of the task's cooperative
    /// budget.
    pub(super) fn poll_turn(
        &mut self,
        subscription: &mut CarrierSubscription,
        intake: &impl Intake,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Turn>> {
        match &mut self.0 {
            Some(queue) if queue.is_burst => {
                if queue.in_a_row >= MAX_TURNS_IN_A_ROW * REFUSALS_OF_A_TURN {
                    queue.in_a_row = 0;
                    // The connection is read meanwhile: what comes is taken before the next turn.
                    queue.turns = 0;
                    // Woken behind the timers that are due, which a waker called at once would be before.
                    ready!(pin!(yield_now()).poll(cx));
                }
                let turn = queue.poll_turn(subscription, intake, cx);
                queue.is_burst = matches!(turn, Poll::Ready(Some(_)));
                turn
            }
            // A single request gains nothing by a look for others, which would delay it.
            queue => subscription.poll_next(cx).map(|message| {
                let message = message?;
                queue.get_or_insert_default().is_burst = true;
                Some(Turn::Handle(message, Arrival::now()))
            }),
        }
    }

    /// Waits until a reply is sent, and takes the requests that arrive meanwhile.
    pub(super) async fn take_while_sending(
        &mut self,
        mut reply: PendingReply<'_>,
        subscription: &mut CarrierSubscription,
        intake: &impl Intake,
    ) {
        loop {
            let took_many = poll_fn(|cx| match reply.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(false),
                Poll::Pending => {
                    let queue = self.0.get_or_insert_default();
                    queue.take_waiting(subscription, intake, cx).map(|()| true)
                }
            });
            match took_many.await {
                true => yield_now().await,
                false => return,
            }
        }
    }
}

impl RequestQueue {
    fn poll_turn(
        &mut self,
        subscription: &mut CarrierSubscription,
        intake: &impl Intake,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Turn>> {
        if (self.turns == 0 || self.waiting.is_empty())
            && let Some(at_once) = self.take_ready(subscription, intake, cx)
        {
            self.in_a_row += 1;
            return Poll::Ready(Some(at_once));
        }
        let Some(StampedRequest {
            message,
            reached,
            received,
            refusal,
        }) = self.waiting.pop_front()
        else {
            self.waiting.shrink_to(KEPT_ROOM);
            self.held = None;
            return match self.has_ended {
                true => Poll::Ready(None),
                false => Poll::Pending,
            };
        };
        self.bytes -= memory_of(&message);
        if let Some(held) = &mut self.held {
            // Its call takes memory of its own.
            held.shrink_to_queue(self.bytes);
        }
        let begun = match self.turns {
            // The first of them: it was taken a moment ago.
            MAX_TURNS => received,
            _ => Instant::now(),
        };
        self.turns -= 1;
        let arrival = Arrival {
            reached,
            received,
            begun,
        };
        Poll::Ready(Some(match refusal {
            Some(why) => {
                self.in_a_row += 1;
                Turn::Refuse(message, arrival, why)
            }
            None => {
                self.in_a_row += REFUSALS_OF_A_TURN;
                Turn::Handle(message, arrival)
            }
        }))
    }

    /// Takes what is ready off the subscription. Returns one that finds no room, or whose limits are reached.
    fn take_ready(
        &mut self,
        subscription: &mut CarrierSubscription,
        intake: &impl Intake,
        cx: &mut Context<'_>,
    ) -> Option<Turn> {
        let before = self.waiting.len();
        let mut times = None;
        while !self.has_ended && (self.refused < MAX_REFUSED || self.waiting.is_empty()) {
            let message = match poll_message(subscription, cx) {
                Poll::Ready(Some(message)) => message,
                Poll::Ready(None) => {
                    self.has_ended = true;
                    break;
                }
                Poll::Pending => break,
            };
            let Some(message) = intake.take_at_once(message) else {
                continue;
            };
            let (reached, received) = *times.get_or_insert_with(|| {
                let now = Instant::now();
                match self.taken > 1 {
                    true => (intake.reached_by(now), now),
                    false => (now, now),
                }
            });
            let bytes = self.bytes + memory_of(&message);
            let refusal = match self.waiting.len() >= MAX_WAITING {
                true => Some(BurstRefusal::Backlog),
                false if !self.hold(bytes, intake) => Some(BurstRefusal::Memory),
                false => None,
            };
            if refusal.is_some() || intake.is_full() {
                self.refused += 1;
                self.taken += 1;
                let arrival = Arrival {
                    reached,
                    ..Arrival::at(received)
                };
                return Some(match refusal {
                    Some(why) => Turn::Refuse(message, arrival, why),
                    None => Turn::Handle(message, arrival),
                });
            }
            self.bytes = bytes;
            self.waiting.push_back(StampedRequest {
                message,
                reached,
                received,
                refusal: None,
            });
        }
        self.refused = 0;
        self.taken = self.waiting.len() - before;
        // A request that waited longer than a moment needs a reading of the clock of its own: also the first one where
        // so many were taken that this took a while.
        let is_first_at_once = before == 0 && self.taken <= MAX_TURNS;
        self.turns = MAX_TURNS - usize::from(!is_first_at_once);
        None
    }

    /// Takes requests while a reply waits for the connection: `Pending` once none is ready, `Ready` after
    /// [`MAX_TAKEN`].
    fn take_waiting(
        &mut self,
        subscription: &mut CarrierSubscription,
        intake: &impl Intake,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut times = None;
        for _ in 0..MAX_TAKEN {
            if self.has_ended {
                return Poll::Pending;
            }
            let Some(message) = ready!(poll_message(subscription, cx)) else {
                self.has_ended = true;
                return Poll::Pending;
            };
            let Some(mut message) = intake.take_at_once(message) else {
                continue;
            };
            self.is_burst = true;
            // The next turn begins with a look at the subscription, and with a reading of the clock.
            self.turns = 0;
            let (reached, received) = *times.get_or_insert_with(|| {
                let now = Instant::now();
                (intake.reached_by(now), now)
            });
            let is_short = intake.memory().is_some_and(|memory| memory.is_short());
            let mut refusal = match self.waiting.len() >= MAX_WAITING {
                true => Some(BurstRefusal::Backlog),
                // Half of the memory is for refusals.
                false => is_short.then_some(BurstRefusal::Memory),
            };
            if refusal.is_none() && !self.hold(self.bytes + memory_of(&message), intake) {
                refusal = Some(BurstRefusal::Memory);
            }
            if refusal.is_some() && BrokerMessage::of(&message).is_some() {
                // No request, which its headers alone tell: nothing is replied to it.
                intake.give_up(message);
                continue;
            }
            if refusal.is_some() {
                strip(&mut message);
                let bytes = self.bytes + memory_of(&message);
                if self.waiting.len() >= MAX_WAITING_REFUSED || !self.hold_refusal(bytes, intake) {
                    intake.give_up(message);
                    continue;
                }
            }
            self.bytes += memory_of(&message);
            self.waiting.push_back(StampedRequest {
                message,
                reached,
                received,
                refusal,
            });
        }
        Poll::Ready(())
    }

    /// Takes memory for so many bytes of requests that wait, some in advance; `false` if it is not left.
    fn hold(&mut self, bytes: usize, intake: &impl Intake) -> bool {
        let Some(memory) = intake.memory() else {
            return true;
        };
        let held = self.held.get_or_insert_with(|| HeldBytes::of(memory));
        held.try_set_queue(bytes)
    }

    /// Takes memory for so many bytes of what waits, of which the last one is a refusal.
    fn hold_refusal(&mut self, bytes: usize, intake: &impl Intake) -> bool {
        let Some(memory) = intake.memory() else {
            return true;
        };
        let held = self.held.get_or_insert_with(|| HeldBytes::of(memory));
        held.try_set_queue_with_refusal(bytes)
    }
}

/// Polls for a message without the task's cooperative budget.
fn poll_message(
    subscription: &mut CarrierSubscription,
    cx: &mut Context<'_>,
) -> Poll<Option<Message>> {
    pin!(unconstrained(poll_fn(|cx| subscription.poll_next(cx)))).poll(cx)
}

/// Leaves of a request what its refusal needs, in memory of its own: its subjects, and the format of its caller.
fn strip(message: &mut Message) {
    message.subject = wire::subject::detached(&message.subject);
    message.reply = message.reply.as_ref().map(wire::subject::detached);
    message.payload = Bytes::new();
    let format = message.headers.take().and_then(|headers| {
        let format = find(&headers, &CONTENT_TYPE)?.clone();
        let is_known = format.as_str().len() <= MAX_FORMAT_LEN;
        is_known.then(|| HeaderMap::from_iter([(CONTENT_TYPE, format)]))
    });
    message.headers = format;
    message.length = message.subject.len() + message.reply.as_ref().map_or(0, |reply| reply.len());
}

#[cfg(test)]
#[path = "request_backlog_tests.rs"]
mod tests;
