//! `Side`: the end of a call whose metrics are counted.

/// End of a call; the metrics of clients and servers have different names, since a process can be both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}
