//! `Cancellations`: the calls of one server that their callers may cancel (docs/PROTOCOL.md, "Cancellation").
//!
//! A call enters once it has a task of its own: a handler that ends in its first poll costs nothing here. Its caller
//! names it by the last token of its reply subject, or by the id of `Micro-Cancel`; who knows neither can cancel
//! nothing.
//!
//! A cancellation travels in another subscription than its request, and may overtake it: tokens that name no call are
//! kept for a while, and looked up when a call begins.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::sync::lock;
use crate::wire::CancelToken;

/// Maximum number of tokens that are kept and name no call yet; the oldest are forgotten first.
const MAX_EARLY: usize = 8192;
/// Time for which they are kept: longer than a connection takes to be given up and made anew. Most are of calls that
/// other instances have, or that have ended, and no call may pay for them for long.
const MAX_EARLY_AGE: Duration = Duration::from_secs(30);

/// The calls that may be canceled.
#[derive(Default)]
pub(crate) struct Cancellations {
    state: Mutex<State>,
    /// Whether a token came that named no call: all that a call looks at which needs no task.
    has_early: AtomicBool,
}

#[derive(Default)]
struct State {
    calls: HashMap<CancelToken, CancellationToken>,
    early: EarlyTokens,
}

/// Tokens that came before their calls, or after their end.
#[derive(Default)]
struct EarlyTokens {
    order: VecDeque<(Instant, CancelToken)>,
    /// Number of places of each in `order`.
    counts: HashMap<CancelToken, u32>,
}

/// One call that may be canceled, until this is dropped.
pub(super) struct CancelableCall {
    all: Arc<Cancellations>,
    token: CancelToken,
    canceled: CancellationToken,
}

impl Cancellations {
    /// Registers a call; `None` if it was canceled before.
    pub(super) fn register(self: &Arc<Self>, token: CancelToken) -> Option<CancelableCall> {
        let canceled = CancellationToken::new();
        let mut state = lock(&self.state);
        if state.early.contains(&token) {
            return None;
        }
        state.calls.insert(token, canceled.clone());
        drop(state);
        Some(CancelableCall {
            all: Arc::clone(self),
            token,
            canceled,
        })
    }

    /// Returns whether a call that has not begun was canceled: one load, unless a call was canceled lately.
    #[inline]
    pub(super) fn is_canceled(&self, token: impl FnOnce() -> Option<CancelToken>) -> bool {
        self.has_early.load(Ordering::Relaxed) && token().is_some_and(|token| self.is_early(&token))
    }

    #[cold]
    fn is_early(&self, token: &CancelToken) -> bool {
        let mut state = lock(&self.state);
        state.early.forget_old();
        if state.early.order.is_empty() {
            self.has_early.store(false, Ordering::Relaxed);
        }
        state.early.contains(token)
    }

    /// Cancels the calls that the payload of a cancellation names.
    pub(super) fn cancel(&self, payload: &[u8]) {
        let mut canceled = Vec::new();
        let mut state = lock(&self.state);
        for token in CancelToken::read_all(payload) {
            match state.calls.remove(&token) {
                Some(call) => canceled.push(call),
                None => state.early.add(token),
            }
        }
        state.early.forget_old();
        let has_early = !state.early.order.is_empty();
        self.has_early.store(has_early, Ordering::Relaxed);
        drop(state);
        for call in canceled {
            call.cancel();
        }
    }
}

impl EarlyTokens {
    fn contains(&self, token: &CancelToken) -> bool {
        self.counts.contains_key(token)
    }

    fn add(&mut self, token: CancelToken) {
        if self.order.len() == MAX_EARLY {
            self.forget_oldest();
        }
        self.order.push_back((Instant::now(), token));
        *self.counts.entry(token).or_default() += 1;
    }

    fn forget_old(&mut self) {
        while self
            .order
            .front()
            .is_some_and(|(came, _)| came.elapsed() > MAX_EARLY_AGE)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, oldest)) = self.order.pop_front()
            && let Some(count) = self.counts.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&oldest);
            }
        }
    }
}

impl CancelableCall {
    /// Waits until the caller cancels the call. Cancel safe.
    pub(super) async fn canceled(&self) {
        self.canceled.cancelled().await;
    }
}

impl Drop for CancelableCall {
    fn drop(&mut self) {
        let removed = lock(&self.all.state).calls.remove(&self.token);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u64) -> CancelToken {
        CancelToken::parse(&format!("{number:016}")).unwrap()
    }

    fn payload(tokens: &[u64]) -> Vec<u8> {
        let tokens = tokens.iter().map(|&number| format!("{number:016}"));
        tokens.collect::<String>().into_bytes()
    }

    #[test]
    fn a_cancellation_reaches_the_calls_that_it_names_and_no_other() {
        let all = Arc::new(Cancellations::default());
        let [first, second, third] = [1, 2, 3].map(|number| all.register(token(number)).unwrap());
        all.cancel(&payload(&[3, 1, 7]));
        assert!(first.canceled.is_cancelled() && third.canceled.is_cancelled());
        assert!(!second.canceled.is_cancelled());
        drop((first, second, third));
        assert!(lock(&all.state).calls.is_empty());
    }

    #[test]
    fn a_cancellation_that_overtakes_its_call_is_kept_for_it() {
        let all = Arc::new(Cancellations::default());
        assert!(!all.is_canceled(|| panic!("nothing came early")));
        all.cancel(&payload(&[1]));
        assert!(all.is_canceled(|| Some(token(1))));
        assert!(!all.is_canceled(|| Some(token(2))));
        assert!(!all.is_canceled(|| None));
        assert!(all.register(token(1)).is_none());
        assert!(all.register(token(2)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn early_tokens_are_kept_for_some_time_and_cost_nothing_after_it() {
        let all = Arc::new(Cancellations::default());
        all.cancel(&payload(&[1, 2]));
        tokio::time::advance(MAX_EARLY_AGE).await;
        all.cancel(&payload(&[3]));
        assert!(all.is_canceled(|| Some(token(1))));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!all.is_canceled(|| Some(token(1))));
        assert!(all.is_canceled(|| Some(token(3))));
        tokio::time::advance(MAX_EARLY_AGE).await;
        assert!(!all.is_canceled(|| Some(token(3))));
        assert!(!all.is_canceled(|| panic!("nothing came lately")));
    }

    #[test]
    fn so_many_early_tokens_are_kept_and_no_more() {
        let all = Arc::new(Cancellations::default());
        let tokens = (0..MAX_EARLY as u64 + 2).collect::<Vec<_>>();
        all.cancel(&payload(&[0, 0]));
        all.cancel(&payload(&tokens[1..MAX_EARLY]));
        // One of the two copies of the first is left, then none.
        assert!(all.register(token(0)).is_none());
        all.cancel(&payload(&tokens[MAX_EARLY..]));
        assert!(all.register(token(0)).is_some());
        assert!(all.register(token(2)).is_none());
        assert_eq!(lock(&all.state).early.order.len(), MAX_EARLY);
    }

    #[test]
    fn what_is_no_token_cancels_nothing() {
        let all = Arc::new(Cancellations::default());
        let call = all.register(token(1)).unwrap();
        for payload in [
            &b""[..],
            b"0",
            b"000000000000000",
            b"0000000000000 01",
            b"\xff",
        ] {
            all.cancel(payload);
        }
        // The rest of a payload that ends within a token does not count.
        all.cancel(b"0000000000000002000000000000001");
        assert!(!call.canceled.is_cancelled());
        assert_eq!(lock(&all.state).early.order.len(), 1);
    }
}
