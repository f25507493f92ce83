//! `UnconfirmedCalls`: calls that ended at their deadline before NATS had confirmed their requests.
//!
//! A call that ends at its deadline is not canceled: its server ends it at the same moment. But a request that NATS
//! holds up, as while it is frozen, begins its time anew when it arrives. So the calls whose requests are not confirmed
//! in the usual time, or were lost with their link, are canceled after all: the cancellation follows the request on its
//! link, or goes through the next one.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::link::CurrentLink;
use crate::bus::mux::Mux;
use crate::bus::outbox::{MAX_CANCELED, Outbox};
use crate::sync::lock;
use crate::wire::CancelToken;

/// Time in which a request is confirmed that nothing holds up: an interval of the pulses, and a long round trip.
pub(super) const CONFIRMATION_TIME: Duration = Duration::from_millis(250);

/// The calls of one connection whose requests may be confirmed in the usual time.
#[derive(Default)]
pub(super) struct UnconfirmedCalls {
    /// In the order of the times at which they are looked at.
    calls: Mutex<VecDeque<(Instant, UnconfirmedCall)>>,
    /// Notified of each call.
    added: Notify,
}

/// A call that has ended.
pub(super) struct UnconfirmedCall {
    /// Subject of its cancellation.
    pub(super) subject: Subject,
    /// Its name in a cancellation.
    pub(super) token: CancelToken,
    /// Place of its request among all that were sent.
    pub(super) order: NonZeroU64,
    /// Canceled once the link is lost through which the request was sent.
    pub(super) lost: CancellationToken,
}

impl UnconfirmedCalls {
    /// Adds a call whose request should be confirmed by the time `due`. Beyond [`MAX_CANCELED`] it is left out, and its
    /// handler runs to its end. Returns whether it was added.
    pub(super) fn add(&self, due: Instant, call: UnconfirmedCall) -> bool {
        let mut calls = lock(&self.calls);
        if calls.len() >= MAX_CANCELED {
            return false;
        }
        let due = calls.back().map_or(due, |(last, _)| due.max(*last));
        calls.push_back((due, call));
        drop(calls);
        self.added.notify_one();
        true
    }

    fn next_due(&self) -> Option<Instant> {
        lock(&self.calls).front().map(|(due, _)| *due)
    }

    /// Takes the calls that are due, and returns those whose requests are not confirmed; `confirmed` is the place of
    /// the last one that is.
    fn take_held_up(&self, confirmed: u64) -> Vec<UnconfirmedCall> {
        let now = Instant::now();
        let mut calls = lock(&self.calls);
        let due = calls.partition_point(|(due, _)| *due <= now);
        let due = calls.drain(..due).map(|(_, call)| call);
        due.filter(|call| call.lost.is_cancelled() || call.order.get() > confirmed)
            .collect()
    }
}

/// Cancels the calls whose requests were held up, and has the outbox send what it kept while there was no link. Ends
/// with the connection.
pub(super) async fn watch(
    unconfirmed: Arc<UnconfirmedCalls>,
    outbox: Arc<Outbox>,
    current: Arc<CurrentLink>,
    mux: Arc<Mux>,
) {
    let mut states = current.states();
    loop {
        let due = unconfirmed.next_due();
        tokio::select! {
            () = unconfirmed.added.notified(), if due.is_none() => {}
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                for call in unconfirmed.take_held_up(mux.confirmed().last()) {
                    outbox.cancel(call.subject, call.token, mux.counts());
                }
            }
            changed = states.changed() => match changed {
                Ok(()) => outbox.wake(),
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(order: u64, lost: &CancellationToken) -> UnconfirmedCall {
        UnconfirmedCall {
            subject: Subject::from_static("a.B._i._all._cancel"),
            token: CancelToken::parse("AAAAAAAAAAAAAAAA").unwrap(),
            order: NonZeroU64::new(order).unwrap(),
            lost: lost.clone(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_are_not_confirmed_in_time_or_lost_are_held_up() {
        let unconfirmed = UnconfirmedCalls::default();
        let (link, lost) = (CancellationToken::new(), CancellationToken::new());
        let due = Instant::now() + CONFIRMATION_TIME;
        for (order, link) in [(1, &link), (2, &lost), (3, &link)] {
            unconfirmed.add(due, call(order, link));
        }
        lost.cancel();
        assert!(unconfirmed.take_held_up(2).is_empty(), "none is due");
        tokio::time::advance(CONFIRMATION_TIME).await;
        unconfirmed.add(due + CONFIRMATION_TIME, call(4, &link));
        let held_up = unconfirmed.take_held_up(2).into_iter();
        assert_eq!(
            held_up.map(|call| call.order.get()).collect::<Vec<_>>(),
            [2, 3]
        );
        assert!(unconfirmed.next_due().is_some(), "one is not due yet");
    }
}
