//! `Credit`: the two sums of flow control, by which a slow receiver holds its sender back (backpressure).

/// A number of complete messages, and a number of bytes of entries, both since the stream began.
///
/// Flow control counts both (docs/PROTOCOL.md, "Flow control"): bytes bound the memory, messages the work. All sums
/// are absolute and only grow, so that a grant that was lost is made up for by the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credit {
    pub(crate) messages: u64,
    /// Lengths of the entries of `messages`, of complete and unfinished messages. Everything else in a frame
    /// counts nowhere.
    pub(crate) bytes: u64,
}
