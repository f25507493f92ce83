//! The names of ADR-32: of services and endpoints, versions, and the `$SRV` subjects. Pure.

use async_nats::Subject;

/// Where ADR-32 asks for services, unless it is set otherwise.
pub(crate) const PREFIX: &str = "$SRV";
/// The token of our own subjects beside ADR-32's verbs, which all are upper case.
const EVENT: &str = "_EVENT";

/// What ADR-32 asks of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Ping,
    Info,
    Stats,
}

impl Verb {
    pub(crate) const ALL: [Self; 3] = [Self::Ping, Self::Info, Self::Stats];

    fn token(self) -> &'static str {
        match self {
            Self::Ping => "PING",
            Self::Info => "INFO",
            Self::Stats => "STATS",
        }
    }

    /// The subject that asks everybody, one service, or one instance of it.
    pub(crate) fn subject(self, prefix: &str, name: Option<&str>, id: Option<&str>) -> Subject {
        let mut subject = format!("{prefix}.{}", self.token());
        for token in name.into_iter().chain(id) {
            subject.push('.');
            subject.push_str(token);
        }
        Subject::from(subject)
    }
}

/// Where an instance says that it came or goes.
pub(crate) fn event_subject(prefix: &str, name: &str, id: &str) -> Subject {
    Subject::from(format!("{prefix}.{EVENT}.{name}.{id}"))
}

/// Says whether this is where the instance itself says so, whatever prefix stands before it here.
pub(crate) fn is_event_of(subject: &str, name: &str, id: &str) -> bool {
    subject.ends_with(&format!(".{EVENT}.{name}.{id}"))
}

/// Where all instances, or those of one service, say so.
pub(crate) fn event_pattern(prefix: &str, name: Option<&str>) -> Subject {
    match name {
        Some(name) => Subject::from(format!("{prefix}.{EVENT}.{name}.*")),
        None => Subject::from(format!("{prefix}.{EVENT}.>")),
    }
}

/// The ADR-32 name of a service: `greeter.v1.Greeter` is `greeter-v1-Greeter`.
pub(crate) fn service_name(full_name: &str) -> String {
    full_name.replace('.', "-")
}

/// Says what is wrong with the name of a service or an endpoint.
pub(crate) fn name_flaw(name: &str) -> Option<&'static str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() {
        return Some("it is empty");
    }
    (!name.chars().all(is_allowed)).then_some("ADR-32 allows `A-Z a-z 0-9 - _`")
}

/// Says what is wrong with what stands before the verbs.
pub(crate) fn prefix_flaw(prefix: &str) -> Option<&'static str> {
    if prefix.split('.').any(str::is_empty) {
        return Some("it has an empty token");
    }
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '*' | '>');
    prefix
        .contains(is_bad)
        .then_some("it has white space, a control character or a wildcard")
}

/// Returns whether a version follows <https://semver.org>, as ADR-32 requires.
pub(crate) fn is_semver(version: &str) -> bool {
    semver::Version::parse(version).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_those_of_adr_32() {
        let check = |subject: Subject, expected: &str| assert_eq!(subject.as_str(), expected);
        check(Verb::Ping.subject(PREFIX, None, None), "$SRV.PING");
        check(Verb::Info.subject(PREFIX, Some("a"), None), "$SRV.INFO.a");
        check(
            Verb::Stats.subject("x.SRV", Some("a"), Some("1")),
            "x.SRV.STATS.a.1",
        );
        check(event_subject(PREFIX, "a", "1"), "$SRV._EVENT.a.1");
        check(event_pattern(PREFIX, None), "$SRV._EVENT.>");
        assert!(is_event_of("$SRV._EVENT.a.1", "a", "1"));
        assert!(!is_event_of("$SRV._EVENT.a.1", "b", "1"));
        check(event_pattern(PREFIX, Some("a")), "$SRV._EVENT.a.*");
    }

    #[test]
    fn names_have_no_dots() {
        assert_eq!(service_name("greeter.v1.Greeter"), "greeter-v1-Greeter");
        assert_eq!(service_name("Greeter"), "Greeter");
        for name in ["a", "greeter-v1-Greeter", "A_1"] {
            assert_eq!(name_flaw(name), None, "{name}");
        }
        for name in ["", "a.b", "a b", "ä"] {
            assert!(name_flaw(name).is_some(), "{name}");
        }
    }

    #[test]
    fn prefixes_may_begin_with_a_dollar() {
        for prefix in ["$SRV", "acme.$SRV", "SRV"] {
            assert_eq!(prefix_flaw(prefix), None, "{prefix}");
        }
        for prefix in ["", "a..b", "a b", "a.*", ">"] {
            assert!(prefix_flaw(prefix).is_some(), "{prefix}");
        }
    }

    #[test]
    fn versions_are_semver() {
        for version in [
            "0.0.0",
            "1.2.3",
            "1.2.3-rc.1",
            "1.2.3-0a+b.1",
            "1.2.3+001",
            "1.2.3--",
            "1.2.3-a-b.0",
        ] {
            assert!(is_semver(version), "{version}");
        }
        for version in [
            "",
            "1",
            "1.2",
            "v1.2.3",
            "1.2.03",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3+",
            "1.2.3 ",
            " 1.2.3",
            "1.2.3.4",
            "1..3",
            "1.2.3-a..b",
            "1.2.3-ä",
            "1.2.3+a+b",
            "1.2.x",
            "*",
            "-1.2.3",
        ] {
            assert!(!is_semver(version), "{version}");
        }
    }
}
