//! `Phase`: how far a server has come with stopping.

/// Progress of a stopping server, which every loop of a subscription follows.
///
/// The phases are in this order; a loop may miss one that was over before it looked. The `Stopper` of
/// the server sends them, and explains why their order loses no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// Loops unsubscribe: NATS routes nothing more to them, while messages on the way still arrive.
    /// Loops of instances stay subscribed for the frames of streams, and refuse calls.
    Stopping,
    /// Everything on the way has arrived. The loops of methods and events read what is there and end.
    Closing,
    /// The last call has ended, and with it the last stream: the loops of instances end.
    Ended,
}
