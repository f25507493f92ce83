//! The minimum version of nats-server: an older one is refused at the first connect, and reported after a reconnect.

use async_nats::{Client, ServerInfo};

use crate::error::{Error, ErrorKind};

/// Minimum version of nats-server, as major and minor number. The README names it too.
const MIN_VERSION: (u64, u64) = (2, 11);

/// Checks the nats-server that `client` is connected to.
///
/// A version that has no numbers passes: other programs speak the protocol, too.
///
/// # Errors
///
/// [`ErrorKind::Connect`] if it is older than [`MIN_VERSION`]; the text names the version.
pub(crate) fn check(client: &Client) -> Result<(), Error> {
    match too_old(&client.server_info()) {
        None => Ok(()),
        Some(found) => Err(Error::new(ErrorKind::Connect, found)),
    }
}

/// Returns a sentence that names the version found and the minimum, if the former is older.
fn too_old(info: &ServerInfo) -> Option<String> {
    let (major, minor) = MIN_VERSION;
    let found = parse(&info.version)?;
    (found < MIN_VERSION).then(|| {
        format!(
            "nats-server {} (`{}`) is too old: {major}.{minor} or later is needed; upgrade it, or connect to another",
            info.version, info.server_name
        )
    })
}

/// Reads major and minor number from a version as `2.11.0-RC.1`.
fn parse(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.strip_prefix('v').unwrap_or(version).split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_below_the_minimum_are_too_old() {
        let check = |version: &str, expected: bool| {
            let info = ServerInfo {
                version: version.to_owned(),
                ..ServerInfo::default()
            };
            assert_eq!(too_old(&info).is_some(), expected, "{version}");
        };
        for version in [
            "2.10.29",
            "2.9.0",
            "1.4.1",
            "0.8.0",
            "v2.10.0",
            "2.10.0-RC.3",
            "2.10",
        ] {
            check(version, true);
        }
        for version in [
            "2.11.0",
            "2.11.0-RC.1",
            "v2.12.8",
            "2.100.1",
            "3.0.0",
            "10.0",
        ] {
            check(version, false);
        }
        // Not a nats-server's: a program of another kind that speaks the protocol.
        for version in ["", "dev", "2", "2.x.1", "-1.2.3"] {
            check(version, false);
        }
    }

    #[test]
    fn the_text_names_the_server_both_versions_and_what_to_do() {
        let info = ServerInfo {
            version: "2.10.26".to_owned(),
            server_name: "n2".to_owned(),
            ..ServerInfo::default()
        };
        assert_eq!(
            too_old(&info).as_deref(),
            Some(
                "nats-server 2.10.26 (`n2`) is too old: 2.11 or later is needed; upgrade it, or connect to another"
            )
        );
    }
}
