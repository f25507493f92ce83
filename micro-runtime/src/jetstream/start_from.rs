//! `StartFrom`: the first event that a consumer or a replay reads.

use std::time::SystemTime;

use async_nats::jetstream::consumer::DeliverPolicy;

/// First event that a [`Durable`](crate::jetstream::Durable) consumer or a
/// [replay](crate::Bus::replay) reads. It is resolved once: a consumer or a replay that is interrupted goes on where it
/// was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartFrom {
    /// The oldest event that the stream still has.
    #[default]
    First,
    /// The first event that is stored after the consumer was created, or the replay opened.
    New,
    /// The event with this sequence in the stream, or the next one that there is. Sequences begin with 1, and 0 counts
    /// as 1.
    Sequence(u64),
    /// The first event that was stored at this time or later.
    Time(SystemTime),
}

impl StartFrom {
    /// Returns the setting of a consumer for it.
    pub(super) fn deliver_policy(self) -> DeliverPolicy {
        match self {
            Self::First => DeliverPolicy::All,
            Self::New => DeliverPolicy::New,
            // JetStream does not take 0.
            Self::Sequence(sequence) => DeliverPolicy::ByStartSequence {
                start_sequence: sequence.max(1),
            },
            Self::Time(time) => DeliverPolicy::ByStartTime {
                start_time: time.into(),
            },
        }
    }
}
