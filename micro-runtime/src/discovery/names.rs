//! Names, versions and prefixes of ADR-32. Pure.
//!
//! Tools build subjects of names, so that a name with a dot or a wildcard would make an instance that nothing finds;
//! a server with one does not start.

/// Returns the ADR-32 name of a service: `greeter-v1-Greeter` for `greeter.v1.Greeter`. An ADR-32 name stays as it is.
pub(crate) fn service_name(full_name: &str) -> String {
    full_name.replace('.', "-")
}

/// Returns why `name` cannot be the ADR-32 name of a service or an endpoint, as the end of an error message.
pub(crate) fn name_flaw(name: &str) -> Option<&'static str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() {
        return Some("it is empty");
    }
    (!name.chars().all(is_allowed)).then_some("ADR-32 allows `A-Z a-z 0-9 - _`")
}

/// Returns why `prefix` cannot stand in place of `$SRV`, as the end of an error message. Unlike a prefix of the bus it
/// may begin with `$`.
pub(crate) fn prefix_flaw(prefix: &str) -> Option<&'static str> {
    if prefix.split('.').any(str::is_empty) {
        return Some("it has an empty token");
    }
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '*' | '>');
    prefix
        .contains(is_bad)
        .then_some("it has white space, a control character or a wildcard")
}

/// Returns whether a version follows <https://semver.org>, as ADR-32 requires, with numbers of at most 64 bits.
pub(crate) fn is_semver(version: &str) -> bool {
    semver::Version::parse(version).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dots_spaces_or_letters_beyond_ascii_are_rejected() {
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
    fn prefixes_may_begin_with_a_dollar_and_have_no_wildcards() {
        for prefix in ["$SRV", "acme.$SRV", "SRV"] {
            assert_eq!(prefix_flaw(prefix), None, "{prefix}");
        }
        for prefix in ["", "a..b", "a b", "a.*", ">"] {
            assert!(prefix_flaw(prefix).is_some(), "{prefix}");
        }
    }

    #[test]
    fn only_semver_versions_are_accepted() {
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
