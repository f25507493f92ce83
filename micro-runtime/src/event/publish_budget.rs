//! The share of tokio's cooperative budget that publishing an event costs its task.

use std::cell::Cell;
use std::task::{Context, Poll, ready};

use tokio::task::coop::{has_budget_remaining, poll_proceed};

/// Weight of published events that costs one unit of budget.
const WEIGHT_PER_UNIT: usize = 8;
/// Payload in bytes that adds 1 to an event's weight, which is 1 without payload.
const BYTES_PER_WEIGHT: usize = 256;

thread_local! {
    /// Weight of the events published on this thread since it last paid for a unit.
    static UNPAID_WEIGHT: Cell<usize> = const { Cell::new(0) };
}

/// Ready once the task may publish an event of `payload_len` bytes. Pending, with the task woken at once,
/// means that it has used up its budget and the other tasks run first.
///
/// tokio gives a task 128 units per poll, so that a task in a loop cannot starve the others, and putting a
/// message into a connection's queue costs one unit. For events that is too early: the connection's task
/// would write after every 128 events of a few bytes each, with a system call and two task switches.
/// Counting eight small events as one unit lets up to 1,024 leave in one write, which takes 0.12 µs of
/// 0.66 µs off each event (docs/PERFORMANCE.md, "Where the time of events goes").
///
/// The weight grows with the payload, since bytes cost time as well: from 1,792 bytes on an event costs a
/// whole unit. Without that, 1,024 events of 64 KiB would be queued before anything is written.
///
/// The weight is counted per thread, which needs no state per task. A task may pay for events of another
/// one that ran on the same thread before, but for less than one unit.
pub(super) fn poll_budget(payload_len: usize, cx: &mut Context<'_>) -> Poll<()> {
    let weight = UNPAID_WEIGHT.get() + 1 + payload_len / BYTES_PER_WEIGHT;
    // Without budget even a light event waits: another publish of this task may be waiting for budget, and
    // events leave in the order in which they were published.
    if weight < WEIGHT_PER_UNIT && has_budget_remaining() {
        UNPAID_WEIGHT.set(weight);
        return Poll::Ready(());
    }
    UNPAID_WEIGHT.set(0);
    ready!(poll_proceed(cx)).made_progress();
    Poll::Ready(())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Returns how many events of this size one poll of a task can publish.
    async fn events_per_poll(payload_len: usize) -> usize {
        UNPAID_WEIGHT.set(0);
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            let count = (0..).take_while(|_| poll_budget(payload_len, cx).is_ready());
            Poll::Ready(count.count())
        })
        .await
    }

    #[tokio::test]
    async fn small_events_cost_an_eighth_of_a_unit() {
        for (payload_len, expected) in [(0, 1024), (255, 1024), (256, 512), (1792, 128)] {
            let found = events_per_poll(payload_len).await;
            assert_eq!(found, expected, "{payload_len} bytes");
        }
    }
}
