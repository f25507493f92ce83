//! `ConsumerPosition`: where a durable consumer goes on if it is deleted while it runs. Does no I/O.

use std::sync::Mutex;

use crate::jetstream::start_from::StartFrom;
use crate::sync::lock;

/// Position of a durable consumer as this process knows it, which outlives the consumer.
///
/// A relative start must not be resolved a second time: [`StartFrom::New`] would leave out what was stored since the
/// first. So a consumer that was deleted is created again behind the last event up to which all were settled. Sequences
/// mean something in one creation of the stream alone: in a stream that was made anew they begin at 1, and so does the
/// consumer.
#[derive(Default)]
pub(super) struct ConsumerPosition(Mutex<State>);

#[derive(Default)]
struct State {
    /// Time of the stream's creation, as JetStream writes it; empty before it is known.
    created: String,
    /// Sequence up to which every event is settled; `None` before it is known.
    settled: Option<u64>,
    /// Whether the stream is another one than that of the first start.
    is_another_stream: bool,
}

impl ConsumerPosition {
    /// Notes the stream that is there now. In another one than before nothing is settled.
    pub(super) fn note_stream(&self, created: &str) {
        let mut state = lock(&self.0);
        if state.created == created {
            return;
        }
        state.is_another_stream |= !state.created.is_empty();
        state.settled = None;
        created.clone_into(&mut state.created);
    }

    /// Notes the sequence up to which every event is settled. It never goes back, as that of a consumer would which
    /// was created again.
    pub(super) fn note_settled(&self, sequence: u64) {
        let mut state = lock(&self.0);
        state.settled = state.settled.max(Some(sequence));
    }

    /// Returns the first event of a consumer that is created now; `declared` is that of its first start.
    pub(super) fn start(&self, declared: StartFrom) -> StartFrom {
        let state = lock(&self.0);
        match (state.settled, state.is_another_stream) {
            (Some(settled), _) => StartFrom::Sequence(settled + 1),
            (None, true) => StartFrom::First,
            (None, false) => declared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_goes_on_behind_what_was_settled_in_the_same_stream() {
        let position = ConsumerPosition::default();
        let check = |expected| assert_eq!(position.start(StartFrom::New), expected);
        position.note_stream("monday");
        check(StartFrom::New);
        position.note_settled(7);
        check(StartFrom::Sequence(8));
        position.note_settled(3);
        position.note_stream("monday");
        check(StartFrom::Sequence(8));
        position.note_stream("tuesday");
        check(StartFrom::First);
        position.note_settled(2);
        check(StartFrom::Sequence(3));
    }
}
