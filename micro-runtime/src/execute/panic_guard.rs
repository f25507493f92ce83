//! `PanicGuard`: an owned handler whose destructors may panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::execute::handler_future::HandlerFuture;

/// A handler that can be dropped although its destructors panic; `None` inside once that was done.
///
/// Its owner, an `Execution`, calls [`clear`](Self::clear) before it drops this, on every path.
///
/// A handler is dropped wherever its execution ends: in the loop that reads a subscription, in a
/// worker, in a task of its own. An unwinding destructor would end that loop or worker with it, and a
/// panic in a destructor during another panic would end the process.
pub(super) struct PanicGuard<H: HandlerFuture>(Option<H>);

impl<H: HandlerFuture> PanicGuard<H> {
    pub(super) fn new(handler: H) -> Self {
        Self(Some(handler))
    }

    /// Returns the handler, unless it has been dropped.
    pub(super) fn get_mut(&mut self) -> Option<&mut H> {
        self.0.as_mut()
    }

    /// Forgets a handler that has cleared itself.
    pub(super) fn set_cleared(&mut self) {
        self.0 = None;
    }

    /// Returns whether there is nothing to drop any more.
    pub(super) fn is_cleared(&self) -> bool {
        self.0.is_none()
    }

    /// Takes the handler out, for an owner that goes on with the same work.
    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    /// Exchanges the handler for one that goes on with the same work.
    pub(super) fn map<G: HandlerFuture>(self, map: impl FnOnce(H) -> G) -> PanicGuard<G> {
        PanicGuard(self.0.map(map))
    }

    /// Drops the handler. Returns the text of the panic if one of its destructors panicked.
    pub(super) fn clear(&mut self) -> Option<String> {
        let mut handler = self.0.take()?;
        let cleared = catch_panic(|| handler.clear());
        // `clear` has taken out whatever has the user's destructors, even where one of them panicked.
        drop(handler);
        cleared.err()
    }
}

/// Runs the user's code, which may panic.
///
/// # Errors
///
/// Text of the panic, as the standard library prints it.
pub(crate) fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic_text(panic.as_ref()).to_owned();
        // The payload is the user's, too: its destructor may panic once more, and so may that payload's.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(second);
        }
        text
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}
