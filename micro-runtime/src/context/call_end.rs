//! `CallEnd`: whether a call has ended, and the token that ends what was made within it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// End of one call: of its handler, its deadline, or its server.
///
/// The token costs an allocation and is made on first use, since most handlers make no nested calls. The flag holds
/// the end for a token that is made later.
#[derive(Debug, Default)]
pub(super) struct CallEnd {
    has_ended: AtomicBool,
    token: OnceLock<CancellationToken>,
}

impl CallEnd {
    /// Marks the call as ended, and cancels the token.
    ///
    /// Sequentially consistent, as [`token`](Self::token): either this finds the token, or the one that makes the
    /// token finds the flag. With a weaker order both could miss the other, and a nested call would outlive its
    /// parent.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    /// Returns the token that is canceled when the call ends, which may be now.
    pub(super) fn token(&self) -> &CancellationToken {
        let token = self.token.get_or_init(CancellationToken::new);
        if self.has_ended() {
            token.cancel();
        }
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_canceled_whether_it_is_made_before_or_after_the_end() {
        let made_before = CallEnd::default();
        let token = made_before.token().clone();
        assert!(!token.is_cancelled() && !made_before.has_ended());
        made_before.end();
        assert!(token.is_cancelled() && made_before.has_ended());

        let made_after = CallEnd::default();
        made_after.end();
        assert!(made_after.token().is_cancelled());
    }
}
