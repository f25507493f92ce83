//! `StreamOptions`: the settings of streams, and `StreamLimits`, what they amount to for one end of one stream.

use std::time::Duration;

use crate::stream::credit::Credit;

/// Default window in messages. No more than async-nats queues for one subscription, since each message may arrive in
/// a frame of its own: a peer that uses up its window must not lose frames here.
const DEFAULT_WINDOW_MESSAGES: u32 = 64 * 1024;
/// Default window in bytes. With 1 MiB sender, nats-server and receiver work in turn and each is idle a third of the
/// time; 4 MiB give 1.2 times the messages of 1 KiB, and 8 MiB hardly more (docs/PERFORMANCE.md, "Streams").
const DEFAULT_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Default time without a frame from the peer after which it gets a PING.
pub(crate) const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(5);
/// Maximum heartbeat: a day.
const MAX_HEARTBEAT_SECS: u64 = 24 * 60 * 60;
/// Default maximum time until the first frame of the peer.
const DEFAULT_OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Default maximum length in bytes of one message that an end receives: gRPC's.
const DEFAULT_MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Number of heartbeats without a frame from the peer after which a stream ends, by default. Two PINGs are sent
/// meanwhile, so that one may be lost.
const MAX_MISSED_HEARTBEATS: u32 = 3;

/// Limits of streams and of messages: how much may be on its way, how long a message may be, and how long a peer may be
/// silent.
///
/// Set on a [`Server`](crate::Server::stream_options), on a [client](crate::ClientOptions::stream_options) and on
/// a call. What is unset falls back to the next outer level, then to the default.
///
/// Each end decides about the messages that it *receives*: the options of a client bound the replies, those of a
/// server the requests.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use micro_runtime::{ClientOptions, StreamOptions};
///
/// let patient = StreamOptions::new().window_bytes(256 * 1024).heartbeat(Duration::from_secs(30));
/// let options = ClientOptions::new().stream_options(patient);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    window_messages: Option<u32>,
    window_bytes: Option<u32>,
    heartbeat: Option<Duration>,
    open_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    max_message_bytes: Option<usize>,
}

/// The limits of one end of one stream, with every default filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamLimits {
    /// Amount that the peer may send beyond what the application has taken.
    pub(crate) window: Credit,
    /// Time without a frame from the peer after which it gets a PING.
    pub(crate) heartbeat: Duration,
    /// Maximum time until the first frame of the peer.
    pub(crate) open_timeout: Duration,
    /// Time without a frame from the peer after which the stream ends.
    pub(crate) idle_timeout: Duration,
    /// Maximum length in bytes of a message of the peer.
    pub(crate) max_message_bytes: usize,
}

impl StreamOptions {
    /// Returns options with nothing set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            window_messages: None,
            window_bytes: None,
            heartbeat: None,
            open_timeout: None,
            idle_timeout: None,
            max_message_bytes: None,
        }
    }

    /// Sets how many messages the other end may send before this one has taken them: at least 1, by default
    /// 65,536.
    #[must_use]
    pub const fn window_messages(mut self, messages: u32) -> Self {
        self.window_messages = Some(messages);
        self
    }

    /// Sets how many bytes of messages the other end may send before this one has taken them: at least 1, by
    /// default 4 MiB.
    ///
    /// It bounds the memory that a stream takes on this end. One message may exceed it by 128 KiB; a larger one
    /// arrives in fragments, which are granted as they come, up to
    /// [`max_message_bytes`](Self::max_message_bytes).
    #[must_use]
    pub const fn window_bytes(mut self, bytes: u32) -> Self {
        self.window_bytes = Some(bytes);
        self
    }

    /// Sets the time without a frame from the other end after which it is sent a PING: whole seconds, from 1 s to
    /// a day, by default 5 s.
    ///
    /// A caller's setting holds at both ends, but a server pings at its own where that is shorter: a caller cannot make
    /// it keep streams of absent peers for longer. An end pings earlier if its
    /// [`idle_timeout`](Self::idle_timeout) is shorter than three heartbeats.
    #[must_use]
    pub const fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// Sets how long the other end may take until its first frame; by default 5 s. After it the call fails with
    /// `UNAVAILABLE`.
    #[must_use]
    pub const fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = Some(timeout);
        self
    }

    /// Sets the time without a frame from the other end after which the stream fails with `UNAVAILABLE`; by
    /// default three heartbeats.
    ///
    /// A stream without messages is not silent: its ends reply to each other's PINGs.
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// Sets the maximum length in bytes of one message that this end receives, in parts or whole: of the request or the
    /// reply of a unary call, and of each message of a stream. By default 4 MiB, as of gRPC. Discovery shows that of a
    /// server, as `micro.max_request_bytes` of each method.
    ///
    /// A longer one fails the call with `RESOURCE_EXHAUSTED`: a request or reply of a unary call that goes in parts
    /// before it is sent, since its length is announced; any other once this end has received too much of it.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{ClientOptions, ServiceOptions, StreamOptions};
    ///
    /// let large = StreamOptions::new().max_message_bytes(16 * 1024 * 1024);
    /// // Requests of up to 16 MiB to a service, and replies of up to 16 MiB to a client.
    /// let service = ServiceOptions::new().stream_options(large);
    /// let client = ClientOptions::new().stream_options(large);
    /// ```
    #[must_use]
    pub const fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = Some(bytes);
        self
    }

    /// Fills in from `outer` what is unset here.
    pub(crate) fn or(self, outer: Self) -> Self {
        Self {
            window_messages: self.window_messages.or(outer.window_messages),
            window_bytes: self.window_bytes.or(outer.window_bytes),
            heartbeat: self.heartbeat.or(outer.heartbeat),
            open_timeout: self.open_timeout.or(outer.open_timeout),
            idle_timeout: self.idle_timeout.or(outer.idle_timeout),
            max_message_bytes: self.max_message_bytes.or(outer.max_message_bytes),
        }
    }

    /// Returns the limits of one end, with values out of range moved into it.
    pub(crate) fn limits(self) -> StreamLimits {
        let heartbeat = self.heartbeat.unwrap_or(DEFAULT_HEARTBEAT);
        let heartbeat = Duration::from_secs(heartbeat.as_secs().clamp(1, MAX_HEARTBEAT_SECS));
        let idle_timeout = self
            .idle_timeout
            .unwrap_or(heartbeat * MAX_MISSED_HEARTBEATS);
        StreamLimits {
            window: Credit {
                messages: self
                    .window_messages
                    .unwrap_or(DEFAULT_WINDOW_MESSAGES)
                    .max(1)
                    .into(),
                bytes: self
                    .window_bytes
                    .unwrap_or(DEFAULT_WINDOW_BYTES)
                    .max(1)
                    .into(),
            },
            // A healthy peer must get a PING before it counts as silent.
            heartbeat: heartbeat.min(idle_timeout / MAX_MISSED_HEARTBEATS),
            open_timeout: self.open_timeout.unwrap_or(DEFAULT_OPEN_TIMEOUT),
            idle_timeout,
            max_message_bytes: self.message_limit(),
        }
    }

    /// Returns the maximum length in bytes of a message that this end receives.
    #[inline]
    pub(crate) fn message_limit(self) -> usize {
        self.max_message_bytes.unwrap_or(DEFAULT_MAX_MESSAGE_BYTES)
    }

    /// Returns the limits of a server's end, with the heartbeat of its caller, which the server's own bounds.
    pub(crate) fn limits_with(self, heartbeat: Duration) -> StreamLimits {
        let longest = self.heartbeat.unwrap_or(DEFAULT_HEARTBEAT);
        Self {
            heartbeat: Some(heartbeat.min(longest)),
            ..self
        }
        .limits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_option_wins() {
        let server = StreamOptions::new().window_messages(8).window_bytes(9);
        let call = StreamOptions::new().window_messages(0);
        let limits = call.or(server).limits();
        assert_eq!(limits.window.messages, 1);
        assert_eq!(limits.window.bytes, 9);
        assert_eq!(limits.idle_timeout, 3 * DEFAULT_HEARTBEAT);
    }
}
