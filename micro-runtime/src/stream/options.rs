//! How much a stream may have under way, and how long it may be silent.

use std::time::Duration;

use crate::status::{Code, Reason, Status};

/// No more than async-nats queues for a subscription: each may come in a frame of its own.
const DEFAULT_WINDOW_MESSAGES: u32 = 64 * 1024;
const DEFAULT_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// What a caller has that does not say.
const IMPLIED_WINDOW_BYTES: u64 = 1024 * 1024;
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(5);
const DEFAULT_OPEN_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_REASSEMBLY_LIMIT: usize = 16 * 1024 * 1024;
/// As many heartbeats may pass without a word from the other end.
const MAX_MISSED_HEARTBEATS: u32 = 3;
/// The version of the streaming part of the protocol.
const VERSION: &str = "1";

/// What a stream may have under way, and how long it may be silent. Set on a
/// [`Server`](crate::Server::stream_options), on a [client](crate::ClientOptions::stream_options) and
/// on a call; the innermost that says something wins.
///
/// Each end decides about the messages that it receives.
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
    reassembly_limit: Option<usize>,
}

/// The options of one end of one stream, once everybody has been heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamLimits {
    pub(crate) window: Credit,
    pub(crate) heartbeat: Duration,
    pub(crate) open_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) reassembly: usize,
}

/// Complete messages and bytes of entries, since a stream began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credit {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// What the header `Micro-Stream` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamHeader {
    pub(crate) window: Credit,
    pub(crate) heartbeat: Duration,
    /// The stream carries one large message each way.
    pub(crate) is_unary: bool,
}

impl StreamOptions {
    /// Starts with nothing set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            window_messages: None,
            window_bytes: None,
            heartbeat: None,
            open_timeout: None,
            idle_timeout: None,
            reassembly_limit: None,
        }
    }

    /// How many messages the other end may send before this one has taken them; at least 1, 65,536
    /// by default.
    #[must_use]
    pub const fn window_messages(mut self, messages: u32) -> Self {
        self.window_messages = Some(messages);
        self
    }

    /// How many bytes the other end may send before this one has taken them; at least 1, 4 MiB by
    /// default. One message may go beyond it by 128 KiB, and larger ones arrive in parts.
    #[must_use]
    pub const fn window_bytes(mut self, bytes: u32) -> Self {
        self.window_bytes = Some(bytes);
        self
    }

    /// After how long without a word the other end is asked whether it is there; whole seconds, at
    /// least 1, 5 by default. The caller decides for both ends.
    #[must_use]
    pub const fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// How long the other end may take for its first word; 5 s by default.
    #[must_use]
    pub const fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = Some(timeout);
        self
    }

    /// After how long without a word the stream ends with `UNAVAILABLE`; three heartbeats by default.
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// How long one message may be that arrives in parts; 16 MiB by default.
    #[must_use]
    pub const fn reassembly_limit(mut self, bytes: usize) -> Self {
        self.reassembly_limit = Some(bytes);
        self
    }

    /// What is said here, and else what `outer` says.
    pub(crate) fn or(self, outer: Self) -> Self {
        Self {
            window_messages: self.window_messages.or(outer.window_messages),
            window_bytes: self.window_bytes.or(outer.window_bytes),
            heartbeat: self.heartbeat.or(outer.heartbeat),
            open_timeout: self.open_timeout.or(outer.open_timeout),
            idle_timeout: self.idle_timeout.or(outer.idle_timeout),
            reassembly_limit: self.reassembly_limit.or(outer.reassembly_limit),
        }
    }

    pub(crate) fn limits(self) -> StreamLimits {
        let heartbeat = self.heartbeat.unwrap_or(DEFAULT_HEARTBEAT).as_secs().max(1);
        let heartbeat = Duration::from_secs(heartbeat.min(24 * 60 * 60));
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
            // A healthy peer must be asked before it counts as silent.
            heartbeat: heartbeat.min(idle_timeout / MAX_MISSED_HEARTBEATS),
            open_timeout: self.open_timeout.unwrap_or(DEFAULT_OPEN_TIMEOUT),
            idle_timeout,
            reassembly: self.reassembly_limit.unwrap_or(DEFAULT_REASSEMBLY_LIMIT),
        }
    }

    /// The limits of a server, whose client decides about the heartbeat.
    pub(crate) fn limits_with(self, heartbeat: Duration) -> StreamLimits {
        Self {
            heartbeat: Some(heartbeat),
            ..self
        }
        .limits()
    }
}

impl StreamHeader {
    pub(crate) fn encode(&self) -> String {
        let unary = if self.is_unary { "u=1;" } else { "" };
        format!(
            "v={VERSION};{unary}w={};b={};hb={}",
            self.window.messages,
            self.window.bytes,
            self.heartbeat.as_secs().max(1)
        )
    }

    pub(crate) fn decode(text: &str) -> Result<Self, Status> {
        let value = |name: &str| {
            text.split(';')
                .filter_map(|pair| pair.trim().split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
        };
        match value("v") {
            Some(VERSION) => {}
            other => return Err(unknown_version(other)),
        }
        let number = |name: &str, default: u64| match value(name) {
            None => Ok(default),
            Some(text) => text.parse::<u64>().map_err(|_| malformed(name)),
        };
        let defaults = StreamOptions::new().limits();
        Ok(Self {
            window: Credit {
                messages: number("w", defaults.window.messages)?,
                bytes: number("b", IMPLIED_WINDOW_BYTES)?,
            },
            heartbeat: Duration::from_secs(number("hb", defaults.heartbeat.as_secs())?),
            is_unary: number("u", 0)? == 1,
        })
    }
}

fn unknown_version(found: Option<&str>) -> Status {
    let found = match found {
        Some(version) if version.len() <= 16 => format!("version `{}`", version.escape_debug()),
        Some(_) => "a version".to_owned(),
        None => "no version".to_owned(),
    };
    Reason::BadHeader.status_with(
        Code::Unimplemented,
        format!("`Micro-Stream` asks for {found} of streams; this server knows {VERSION}"),
    )
}

fn malformed(name: &str) -> Status {
    Reason::BadHeader.status(format!("`{name}` in `Micro-Stream` is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_window_and_heartbeat() {
        let open = StreamHeader {
            window: Credit {
                messages: 64,
                bytes: 65536,
            },
            heartbeat: Duration::from_secs(5),
            is_unary: false,
        };
        assert_eq!(open.encode(), "v=1;w=64;b=65536;hb=5");
        assert_eq!(StreamHeader::decode("v=1;w=64;b=65536;hb=5").unwrap(), open);
        assert_eq!(
            StreamHeader::decode("v=1; x=y; w=64;b=65536").unwrap(),
            open
        );
        let large = StreamHeader {
            is_unary: true,
            ..open
        };
        assert_eq!(large.encode(), "v=1;u=1;w=64;b=65536;hb=5");
        assert_eq!(StreamHeader::decode(&large.encode()).unwrap(), large);
    }

    #[test]
    fn other_versions_are_named() {
        let check = |text: &str, code: Code, part: &str| {
            let status = StreamHeader::decode(text).unwrap_err();
            assert_eq!(status.code(), code, "{text}");
            assert!(status.message().contains(part), "{text}: {status}");
        };
        check(
            "v=2;w=1",
            Code::Unimplemented,
            "version `2` of streams; this server knows 1",
        );
        check("w=1", Code::Unimplemented, "no version");
        check("v=1;w=many", Code::InvalidArgument, "`w`");
    }

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
