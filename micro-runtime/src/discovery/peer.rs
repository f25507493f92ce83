//! Services and streams of a peer, as its record of discovery announces it (docs/PROTOCOL.md, "Levels of peers"). Pure.

use crate::discovery::records::Labels;
use crate::status::{Code, Reason, Status};
use crate::wire::version::{WIRE_KEY, WIRE_VERSION, older, quoted};

/// Service, id and metadata of an instance, as each of its records has them.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub(crate) service: &'a str,
    pub(crate) id: &'a str,
    pub(crate) metadata: &'a Labels,
}

impl Identity<'_> {
    /// Returns whether the instance serves streams, messages in parts and the subjects of instances; `false` for one
    /// that announces no version of the wire, which serves its methods alone.
    ///
    /// # Errors
    ///
    /// [`Reason::WireVersion`] if it announces another version than ours.
    pub(crate) fn serves_streams(self) -> Result<bool, Status> {
        let version = self.metadata.get(WIRE_KEY).map_or("", String::as_str);
        match version {
            "" => Ok(false),
            WIRE_VERSION => Ok(true),
            other => Err(Reason::WireVersion.status(format!(
                "the instance `{}` of `{}` speaks version {} of the wire (`{WIRE_KEY}`), and this program \
                 `{WIRE_VERSION}`: upgrade the {}",
                self.id,
                self.service,
                quoted(other),
                older(other, "program", "instance"),
            ))),
        }
    }

    /// Checks that the instance can be called by its id.
    ///
    /// # Errors
    ///
    /// [`Reason::WireVersion`] if it announces another version of the wire, [`Reason::NotAService`] with
    /// `UNIMPLEMENTED` if it announces none.
    pub(crate) fn check_addressable(self) -> Result<(), Status> {
        match self.serves_streams()? {
            true => Ok(()),
            false => Err(Reason::NotAService.status_with(
                Code::Unimplemented,
                format!(
                    "the instance `{}` of `{}` cannot be called by its id: it announces no `{WIRE_KEY}`, and so \
                     replies under the subjects of its methods alone, not under `_i`",
                    self.id, self.service
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(version: Option<&str>) -> Labels {
        let pair = |version: &str| (WIRE_KEY.to_owned(), version.to_owned());
        version.map(pair).into_iter().collect()
    }

    #[test]
    fn only_a_peer_of_this_wire_serves_streams() {
        let check = |version: Option<&str>, expected: Result<bool, &str>| {
            let metadata = labels(version);
            let peer = Identity {
                service: "a-B",
                id: "i1",
                metadata: &metadata,
            };
            match (peer.serves_streams(), expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found, expected, "{version:?}");
                    let reason = peer.check_addressable().err().and_then(|s| s.reason());
                    assert_eq!(reason, (!found).then_some(Reason::NotAService));
                }
                (Err(status), Err(part)) => {
                    assert_eq!(status.code(), Code::Unimplemented);
                    assert_eq!(status.reason(), Some(Reason::WireVersion));
                    for part in ["`i1` of `a-B`", "this program `2`", part] {
                        assert!(status.message().contains(part), "{status}");
                    }
                    let again = peer.check_addressable().unwrap_err();
                    assert_eq!(again.reason(), Some(Reason::WireVersion));
                }
                (found, expected) => panic!("{version:?}: {found:?}, not {expected:?}"),
            }
        };
        check(None, Ok(false));
        check(Some(""), Ok(false));
        check(Some(WIRE_VERSION), Ok(true));
        check(Some("1"), Err("version `1` of the wire (`micro.wire`)"));
        check(Some("1"), Err("upgrade the instance"));
        check(Some("3"), Err("upgrade the program"));
        check(Some("two"), Err("version `two`"));
        check(Some("2.0"), Err("version `2.0`"));
    }
}
