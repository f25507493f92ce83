//! `StreamHeader`: the header `Micro-Stream`, by which a caller opens a stream. Pure.

use std::time::Duration;

use crate::status::{Code, Reason, Status};
use crate::stream::credit::Credit;
use crate::stream::options::StreamOptions;
use crate::wire::header::parse_number;

/// Version of the streaming part of the protocol.
const VERSION: &str = "1";
/// Window in bytes of a caller whose header names none (docs/PROTOCOL.md, "Flow control"). Part of the protocol, so it
/// does not follow the default of the options.
const IMPLIED_WINDOW_BYTES: u64 = 1024 * 1024;

/// Content of the header `Micro-Stream`: `v=1;w=<messages>;b=<bytes>;hb=<seconds>`.
///
/// It travels with the request, so that the server may send its first frames without waiting for a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamHeader {
    /// Initial window of the caller: what the server may send.
    pub(crate) window: Credit,
    /// Heartbeat of both ends.
    pub(crate) heartbeat: Duration,
    /// The request message does not fit into one NATS message: it follows in fragments once the server has
    /// accepted (`u=1`; docs/PROTOCOL.md, "Large unary messages").
    pub(crate) is_unary: bool,
}

impl StreamHeader {
    /// Returns the value of the header.
    pub(crate) fn encode(&self) -> String {
        let unary = if self.is_unary { "u=1;" } else { "" };
        format!(
            "v={VERSION};{unary}w={};b={};hb={}",
            self.window.messages,
            self.window.bytes,
            self.heartbeat.as_secs().max(1)
        )
    }

    /// Parses the value of the header. Unknown keys are ignored, so that a later client may add some; missing ones
    /// have their defaults.
    ///
    /// # Errors
    ///
    /// `UNIMPLEMENTED` for another version, which the text names beside the known one; `INVALID_ARGUMENT` for a
    /// value that is not a number.
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
            Some(text) => parse_number(text).ok_or_else(|| malformed(name)),
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
    fn the_header_carries_window_and_heartbeat() {
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
    fn other_versions_are_rejected_by_name() {
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
}
