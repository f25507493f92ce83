//! The steps of a case, chosen at random.

use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;

/// How the handler of an event goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Succeed,
    /// Fails so many times, and then succeeds.
    Fail(u32),
    FailAlways,
    /// Fails with an error that no repetition mends.
    FailFinally,
    Panic,
    /// Takes so many milliseconds.
    Slow(u64),
    /// Longer than its timeout, the first time.
    HangOnce,
    /// Bytes that are no such event: no handler gets them.
    Undecodable,
}

/// One step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Publishes so many events with plans by this seed, without waiting for their acknowledgments.
    Publish(u64, u64),
    /// Starts a worker, unless three run.
    Start,
    /// Stops a worker in order.
    Stop,
    /// Ends a worker without a stop: its connection and its handlers are gone at once.
    Crash,
    /// Waits until so many more handlers have begun, for a second at most.
    Handle(u32),
    /// Changes limits of the consumer, as an operator does.
    EditConsumer(u64),
    /// Deletes the consumer.
    DeleteConsumer,
    /// Changes description and age of the stream.
    EditStream(u64),
    /// Purges the stream.
    Purge,
    /// Deletes the stream of the dead letters' source, with all events.
    DeleteStream,
    /// Stops nats-server, in order or by SIGKILL, and starts it again.
    Restart { is_kill: bool },
}

impl Step {
    pub(super) fn random(random: &mut ChaCha8Rng) -> Self {
        match random.random_range(0..100) {
            0..32 => Self::Publish(random.random_range(1..30), random.random()),
            32..46 => Self::Start,
            46..52 => Self::Stop,
            52..60 => Self::Crash,
            60..82 => Self::Handle(random.random_range(1..30)),
            82..87 => Self::EditConsumer(random.random_range(1..4)),
            87..90 => Self::DeleteConsumer,
            90..93 => Self::EditStream(random.random_range(1..100)),
            93..95 => Self::Purge,
            95..96 => Self::DeleteStream,
            96..98 => Self::Restart { is_kill: false },
            _ => Self::Restart { is_kill: true },
        }
    }
}

impl Plan {
    pub(super) fn random(random: &mut ChaCha8Rng) -> Self {
        match random.random_range(0..100) {
            0..60 => Self::Succeed,
            60..70 => Self::Fail(random.random_range(1..3)),
            70..75 => Self::FailAlways,
            75..80 => Self::FailFinally,
            80..84 => Self::Panic,
            84..92 => Self::Slow(random.random_range(1..100)),
            92..94 => Self::HangOnce,
            _ => Self::Undecodable,
        }
    }
}
