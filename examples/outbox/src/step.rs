//! `Step`: the moments at which the end of the process matters.

use clap::ValueEnum;

/// A moment in the life of an order. Tests kill the program at each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// Order and event are written; the transaction is not committed.
    BeforeCommit,
    /// The transaction is committed; nothing is published.
    AfterCommit,
    /// JetStream has acknowledged the event; its row is there still.
    AfterAck,
    /// The row is removed; that transaction is not committed.
    BeforeMark,
}

/// Hook that is called at each step; the program itself needs none.
pub type StepHook = Box<dyn Fn(Step) + Send + Sync>;
