//! `RequestBacklog`: the requests of one subscription that have arrived and wait for their turn.
//!
//! A loop that took one request after the other off its subscription could not tell how long each had waited there: in
//! a burst it would run handlers whose callers have long given up, and what finds no room in the subscription is lost
//! without a reply. So all that is ready is taken at once and stamped, and what exceeds the backlog is refused.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_nats::Message;
use tokio::task::coop::unconstrained;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::bus::CarrierSubscription;
use crate::dispatch::arrival::Arrival;
use crate::dispatch::burst_refusal::BurstRefusal;
use crate::memory_budget::{HeldBytes, MemoryBudget};

/// Maximum number of requests that wait; further ones are refused. Their time bounds those that run: a method whose
/// handlers take 20 µs each needs 1.3 s for so many.
const MAX_WAITING: usize = 65_536;
/// Maximum number of requests that have their turn before what has arrived meanwhile is taken and stamped.
const MAX_TURNS: usize = 64;
/// Maximum number of requests that are refused before those that wait have turns again.
const MAX_REFUSED: usize = 1024;
/// Maximum number of turns in a row: handlers and timers of the same runtime wait meanwhile.
const MAX_TURNS_IN_A_ROW: usize = 16;
/// What a refusal counts as of [`MAX_TURNS_IN_A_ROW`] turns: it takes about a microsecond. Of a loop that yielded as
/// often for refusals, requests would pile up in the connection, where nothing bounds their bytes.
const REFUSALS_OF_A_TURN: usize = MAX_REFUSED / MAX_TURNS_IN_A_ROW;
/// Step in which memory is taken for requests that wait. The first so many bytes of a subscription need none: a small
/// request in a burst is handled though others have used the budget up.
const MEMORY_STEP: usize = 64 * 1024;
/// Bytes that a message takes besides its content and itself, about: its buffers, and the table of its headers.
const MESSAGE_OVERHEAD: usize = 256;
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
}

/// The next step of the loop.
pub(super) enum Turn {
    Handle(Message, Arrival),
    /// So many wait that there is no room, or no memory.
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
        }) = self.waiting.pop_front()
        else {
            self.waiting.shrink_to(KEPT_ROOM);
            self.held = None;
            return match self.has_ended {
                true => Poll::Ready(None),
                false => Poll::Pending,
            };
        };
        self.in_a_row += REFUSALS_OF_A_TURN;
        self.bytes -= memory_of(&message);
        if let Some(held) = &mut self.held {
            // Its call takes memory of its own.
            let counted = self.bytes.saturating_sub(MEMORY_STEP);
            held.shrink_to(counted.next_multiple_of(MEMORY_STEP));
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
        Poll::Ready(Some(Turn::Handle(message, arrival)))
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
            let next = unconstrained(std::future::poll_fn(|cx| subscription.poll_next(cx)));
            let message = match pin!(next).poll(cx) {
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

    /// Takes memory for so many bytes of requests that wait, some in advance; `false` if it is not left.
    fn hold(&mut self, bytes: usize, intake: &impl Intake) -> bool {
        let Some(memory) = intake.memory() else {
            return true;
        };
        let bytes = bytes.saturating_sub(MEMORY_STEP);
        let held = self.held.get_or_insert_with(|| HeldBytes::of(memory));
        bytes <= held.bytes() || held.try_reserve(bytes.next_multiple_of(MEMORY_STEP), bytes)
    }
}

/// Returns the number of bytes that a request takes while it waits, about.
fn memory_of(message: &Message) -> usize {
    message.length + size_of::<StampedRequest>() + MESSAGE_OVERHEAD
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use async_nats::Subject;
    use bytes::Bytes;

    use super::*;
    use crate::bus::{Bus, Outgoing};

    /// Whether the limits of calls are reached.
    struct TestIntake(bool);

    impl Intake for TestIntake {
        fn take_at_once(&self, message: Message) -> Option<Message> {
            (message.payload != "frame").then_some(message)
        }

        fn is_full(&self) -> bool {
            self.0
        }

        fn memory(&self) -> Option<&Arc<MemoryBudget>> {
            None
        }

        fn reached_by(&self, now: Instant) -> Instant {
            now
        }
    }

    /// Returns a subject and its subscription.
    async fn subscribed(bus: &Bus) -> (Subject, CarrierSubscription) {
        let subject = Subject::from_static("a.b");
        let subscribing = bus.calling().subscribe(subject.clone(), None);
        (subject, subscribing.await.unwrap())
    }

    /// Returns the payload of the next turn, and whether the request is handled.
    async fn next(
        backlog: &mut RequestBacklog,
        from: &mut CarrierSubscription,
    ) -> Option<(Bytes, bool)> {
        let turn = poll_fn(|cx| backlog.poll_turn(from, &TestIntake(false), cx)).await?;
        Some(match turn {
            Turn::Handle(message, _) => (message.payload, true),
            Turn::Refuse(message, ..) => (message.payload, false),
        })
    }

    #[tokio::test]
    async fn what_exceeds_the_backlog_is_refused_and_the_rest_handled_in_order() {
        const REFUSED: usize = 2 * MAX_REFUSED + 1;
        let bus = Bus::in_process();
        let (subject, mut subscription) = subscribed(&bus).await;
        for number in 0..MAX_WAITING + REFUSED {
            let outgoing = Outgoing::to(subject.clone(), Bytes::from(number.to_string()));
            let published = bus.calling().publish(outgoing).await;
            assert!(published.is_ok());
        }
        subscription.close().await;
        let mut backlog = RequestBacklog::default();
        let (mut handled, mut refused) = (Vec::new(), 0);
        while let Some((payload, is_handled)) = next(&mut backlog, &mut subscription).await {
            let number: usize = std::str::from_utf8(&payload).unwrap().parse().unwrap();
            match is_handled {
                true => handled.push(number),
                false => refused += 1,
            }
            // Those that wait have turns although more are to be refused.
            let rounds = handled.len() / (MAX_TURNS - 1) + 1;
            assert!(refused <= rounds * MAX_REFUSED, "{rounds}: {refused}");
        }
        assert_eq!(handled.len() + refused, MAX_WAITING + REFUSED);
        assert!(handled.is_sorted() && refused > MAX_REFUSED, "{refused}");
        assert!(handled.iter().copied().take(MAX_WAITING).eq(0..MAX_WAITING));
    }

    #[tokio::test]
    async fn those_behind_the_first_of_what_was_taken_have_waited() {
        let bus = Bus::in_process();
        let (subject, mut subscription) = subscribed(&bus).await;
        let mut backlog = RequestBacklog::default();
        for count in [3, 1] {
            for _ in 0..count {
                let outgoing = Outgoing::to(subject.clone(), Bytes::new());
                assert!(bus.calling().publish(outgoing).await.is_ok());
            }
            let mut waited = Vec::new();
            for _ in 0..count {
                let turn =
                    poll_fn(|cx| backlog.poll_turn(&mut subscription, &TestIntake(false), cx))
                        .await;
                let Some(Turn::Handle(_, arrival)) = turn else {
                    panic!("no turn");
                };
                waited.push(!arrival.waited().is_zero());
            }
            assert_eq!(waited, [false, false, true][..count]);
        }
    }
}
