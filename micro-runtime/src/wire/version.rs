//! The version of the wire that this crate speaks, and the texts about a peer of another one (docs/PROTOCOL.md,
//! "Versions"). Pure.
//!
//! One number stands in both places where a version is visible: `micro.wire` in an instance's records, and `v` of the
//! header `Micro-Stream`, since bare requests and replies are the same in every version.

use crate::wire::header::parse_number;

/// Version of docs/PROTOCOL.md that this crate speaks.
pub(crate) const WIRE_VERSION: &str = "2";
/// Metadata of an instance with the version that it speaks. An instance without it serves its methods alone: neither
/// streams nor subjects of instances.
pub(crate) const WIRE_KEY: &str = "micro.wire";
/// Maximum length in bytes of a peer's version in a text; a longer one is no version.
const MAX_QUOTED_LEN: usize = 16;

/// Returns the version of a peer for a text, as `` `1` ``.
pub(crate) fn quoted(version: &str) -> String {
    match version.len() <= MAX_QUOTED_LEN {
        true => format!("`{}`", version.escape_debug()),
        false => "a text that is no number".to_owned(),
    }
}

/// Returns which side to upgrade so that both speak one version: `own` for a peer of a later version, else `peer`.
pub(crate) fn older<'a>(peer_version: &str, own: &'a str, peer: &'a str) -> &'a str {
    match parse_number(peer_version) {
        Some(version) if Some(version) > parse_number(WIRE_VERSION) => own,
        _ => peer,
    }
}
