//! `StreamHeader`: the header `Micro-Stream`, by which a caller opens a stream. Pure.

use std::time::Duration;

use crate::status::{Reason, Status};
use crate::stream::credit::Credit;
use crate::stream::options::StreamOptions;
use crate::wire::header::parse_number;
use crate::wire::version::{WIRE_VERSION, older, quoted};

/// Window in bytes of a caller whose header names none (docs/PROTOCOL.md, STREAM-2). Part of the protocol, so it
/// does not follow the default of the options.
const IMPLIED_WINDOW_BYTES: u64 = 1024 * 1024;

/// Content of the header `Micro-Stream`: `v=2;w=<messages>;b=<bytes>;hb=<seconds>`.
///
/// It travels with the request, so that the server may send its first frames without waiting for a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamHeader {
    /// Initial window of the caller: what the server may send.
    pub(crate) window: Credit,
    /// Heartbeat of both ends.
    pub(crate) heartbeat: Duration,
    /// The request message does not fit into one NATS message: it follows in fragments once the server has
    /// accepted (`u=1`; docs/PROTOCOL.md, LARGE-1).
    pub(crate) is_unary: bool,
    /// Length in bytes of the message that follows so, by which its receiver refuses it before it is sent (`l`); 0 of a
    /// peer that does not state it.
    pub(crate) length: u64,
}

impl StreamHeader {
    /// Returns the value of the header.
    pub(crate) fn encode(&self) -> String {
        let parts = match self.is_unary {
            true => format!("u=1;l={};", self.length),
            false => String::new(),
        };
        format!(
            "v={WIRE_VERSION};{parts}w={};b={};hb={}",
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
        let value = |name: &str| value(text, name);
        match value("v") {
            Some(WIRE_VERSION) => {}
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
            length: number("l", 0)?,
        })
    }

    /// Returns the value of the header in a reply that offers the reply proper, of `length` bytes, in parts.
    pub(crate) fn encode_offer(length: usize) -> String {
        format!("v={WIRE_VERSION};u=1;l={length}")
    }

    /// Returns the length of the reply that the header of an offer announces, 0 if it states none; `method` is the full
    /// name for the text.
    ///
    /// # Errors
    ///
    /// [`Reason::WireVersion`] if the server sends the parts in another version.
    pub(crate) fn decode_offer(text: &str, method: &str) -> Result<u64, Status> {
        let found = value(text, "v").unwrap_or_default();
        if found == WIRE_VERSION {
            return Ok(value(text, "l").and_then(parse_number).unwrap_or_default());
        }
        Err(Reason::WireVersion.status(format!(
            "the reply to {method} is too large for one message, and its server would send it in parts of version {} \
             of the wire; this caller speaks `{WIRE_VERSION}`: upgrade the {}",
            quoted(found),
            older(found, "caller", "server"),
        )))
    }
}

/// Returns the value of a key of the header.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

fn unknown_version(found: Option<&str>) -> Status {
    let text = match found {
        None => format!("`Micro-Stream` names no version; this server speaks `v={WIRE_VERSION}`"),
        Some(version) => format!(
            "`Micro-Stream` asks for version {} of the wire (`v`); this server speaks `{WIRE_VERSION}`: upgrade the {}",
            quoted(version),
            older(version, "server", "caller"),
        ),
    };
    Reason::WireVersion.status(text)
}

fn malformed(name: &str) -> Status {
    Reason::BadHeader.status(format!("`{name}` in `Micro-Stream` is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Code;

    #[test]
    fn the_header_carries_window_and_heartbeat() {
        let open = StreamHeader {
            window: Credit {
                messages: 64,
                bytes: 65536,
            },
            heartbeat: Duration::from_secs(5),
            is_unary: false,
            length: 0,
        };
        assert_eq!(open.encode(), "v=2;w=64;b=65536;hb=5");
        assert_eq!(StreamHeader::decode("v=2;w=64;b=65536;hb=5").unwrap(), open);
        assert_eq!(
            StreamHeader::decode("v=2; x=y; w=64;b=65536").unwrap(),
            open
        );
        let large = StreamHeader {
            is_unary: true,
            length: 70_000,
            ..open
        };
        assert_eq!(large.encode(), "v=2;u=1;l=70000;w=64;b=65536;hb=5");
        assert_eq!(StreamHeader::decode(&large.encode()).unwrap(), large);
    }

    #[test]
    fn other_versions_are_rejected_by_name() {
        let check = |text: &str, code: Code, part: &str| {
            let status = StreamHeader::decode(text).unwrap_err();
            assert_eq!(status.code(), code, "{text}");
            assert!(status.message().contains(part), "{text}: {status}");
        };
        for (version, side) in [
            ("1", "caller"),
            ("3", "server"),
            ("x", "caller"),
            ("+3", "caller"),
            ("", "caller"),
        ] {
            let text = format!(
                "version `{version}` of the wire (`v`); this server speaks `2`: upgrade the {side}"
            );
            let header = format!("v={version};w=1");
            check(&header, Code::Unimplemented, &text);
        }
        let long = format!("v={};w=1", "9".repeat(99));
        check(
            &long,
            Code::Unimplemented,
            "version a text that is no number",
        );
        check(
            "w=1",
            Code::Unimplemented,
            "no version; this server speaks `v=2`",
        );
        check("v=2;w=many", Code::InvalidArgument, "`w`");
    }

    #[test]
    fn an_offer_of_another_version_is_rejected_by_name() {
        assert_eq!(StreamHeader::encode_offer(7), "v=2;u=1;l=7");
        let check = |text: &str| StreamHeader::decode_offer(text, "a.B.C");
        assert_eq!(check("v=2;u=1;l=7").unwrap(), 7);
        // A peer may state no length, or none that is a number.
        for offer in ["v=2;u=1", "v=2;u=1;l=", "v=2;u=1;l=+7", "v=2;u=1;l= 7"] {
            assert_eq!(check(offer).unwrap(), 0, "{offer}");
        }
        for (offer, part) in [
            (
                "v=1;u=1",
                "version `1` of the wire; this caller speaks `2`: upgrade the server",
            ),
            (
                "v=3;u=1",
                "version `3` of the wire; this caller speaks `2`: upgrade the caller",
            ),
            ("u=1", "version `` of the wire"),
        ] {
            let status = check(offer).unwrap_err();
            assert_eq!(status.reason(), Some(Reason::WireVersion));
            assert_eq!(status.code(), Code::Unimplemented);
            assert!(status.message().contains(part), "{status}");
        }
    }
}
