//! `DecodeScope`: what the messages of one call at a server are decoded against: its memory, and its permits.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use crate::descriptor::{RequestSizes, UNCOUNTED_LEN};
use crate::memory_budget;
use crate::memory_budget::{HeldBytes, MemoryBudget};
use crate::status::{Reason, Status};

/// The memory and the permits of one call, for its messages while they are decoded. Cheap to clone.
#[derive(Clone)]
pub(crate) struct DecodeScope {
    /// Share of the caller.
    budget: Arc<MemoryBudget>,
    sizes: Arc<RequestSizes>,
    /// `None` where no message can be large.
    permit: Option<Weak<dyn DecodePermit>>,
    /// Of the call.
    deadline: Option<Instant>,
}

/// Permits of a call that a thread can hold.
pub(crate) trait DecodePermit: Send + Sync {
    /// Returns what keeps the permits until it is dropped.
    fn hold(self: Arc<Self>) -> Box<dyn Any + Send>;
}

impl DecodeScope {
    pub(crate) fn new(
        budget: Arc<MemoryBudget>,
        sizes: Arc<RequestSizes>,
        permit: Option<Weak<dyn DecodePermit>>,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            budget,
            sizes,
            permit,
            deadline,
        }
    }

    /// Returns whether the elements of a message of this length may take so much memory that they count.
    #[inline]
    pub(crate) fn may_count(&self, length: usize) -> bool {
        length > self.sizes.uncounted_len()
    }

    /// Takes the memory of the elements of a request, before it is decoded; `name` is the full name of its type.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` if it is not left, `INVALID_ARGUMENT` for what is no message.
    pub(crate) fn hold_elements(&self, name: &str, message: &[u8]) -> Result<HeldBytes, Status> {
        if !self.may_count(message.len()) {
            return Ok(HeldBytes::uncounted());
        }
        let Some(bytes) = self.sizes.decoded_size(message) else {
            let text = format!("the request is no {name}: its bytes are malformed");
            return Err(Reason::Undecodable.status(text));
        };
        self.hold(bytes, name, message.len())
    }

    /// Takes the memory that a message of type `name` and this length on the wire is estimated to need.
    ///
    /// # Errors
    ///
    /// As [`hold_elements`](Self::hold_elements).
    pub(crate) fn hold(
        &self,
        bytes: usize,
        name: &str,
        length: usize,
    ) -> Result<HeldBytes, Status> {
        if bytes <= UNCOUNTED_LEN {
            return Ok(HeldBytes::uncounted());
        }
        let limit = self.budget.limit();
        match self.budget.try_take(bytes) {
            Some(held) => Ok(held),
            None if bytes <= limit => Err(memory_budget::exceeded()),
            None => Err(Reason::TooLarge.status(format!(
                "the request, {length} bytes of {name}, takes about {bytes} bytes of memory once it is decoded, above \
                 the share of one caller, {limit} bytes; raise `Server::memory_budget`"
            ))),
        }
    }

    /// Fails once the deadline of the call has passed: that does not end a handler which has a thread of its own or is
    /// detached, but such a handler must not begin behind it.
    ///
    /// # Errors
    ///
    /// `DEADLINE_EXCEEDED`.
    pub(super) fn check_deadline(&self) -> Result<(), Status> {
        if self
            .deadline
            .is_none_or(|deadline| deadline > Instant::now())
        {
            return Ok(());
        }
        let text = "the deadline of the call passed before a long message of it was decoded";
        Err(Reason::Deadline.status(text))
    }

    /// Returns what keeps the permits of the call while a thread works for it.
    pub(super) fn hold_permit(&self) -> Option<Box<dyn Any + Send>> {
        Some(self.permit.as_ref()?.upgrade()?.hold())
    }
}

impl fmt::Debug for DecodeScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeScope").finish_non_exhaustive()
    }
}
