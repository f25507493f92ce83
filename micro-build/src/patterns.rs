//! Patterns that match packages, messages, fields, services and methods by path, with prost's rules.

/// A path pattern: `.` for everything, `.pkg.Message` for an element with its contents, or the end of a
/// path, such as `Message.field`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(String);

/// Kinds of elements that an option applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Messages,
    /// Enums and oneofs, which both become a Rust enum.
    Enums,
    /// Fields, oneofs and enum values.
    Fields,
    BytesFields,
    MapFields,
    /// Fields that hold exactly one message.
    MessageFields,
    /// Messages and enums of every file, including those that no code is generated for.
    Types,
    Services,
    ServicesAndMethods,
    /// Every element that can have a comment.
    Documented,
}

/// A pattern, and the option of `Config` that it was given to.
#[derive(Clone, Debug)]
pub(crate) struct PatternUse {
    pub(crate) option: &'static str,
    pub(crate) pattern: Pattern,
    pub(crate) target: Target,
}

impl Pattern {
    pub(crate) fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }

    /// Returns whether the pattern matches the element at `path`, or an element that contains it.
    ///
    /// `path` begins with a dot.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let Self(pattern) = self;
        let inside = path.strip_prefix(pattern.as_str());
        pattern == "."
            || self.is_for(path)
            || (!pattern.is_empty() && inside.is_some_and(|inside| inside.starts_with('.')))
    }

    /// Returns whether the pattern matches the element at `path` itself.
    pub(crate) fn is_for(&self, path: &str) -> bool {
        let Self(pattern) = self;
        let end = path.strip_suffix(pattern.as_str());
        !pattern.is_empty() && end.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn patterns_match_as_in_prost() {
        for pattern in [
            ".", ".a", ".a.b", ".a.b.C", ".a.b.C.d", "C.d", "d", "a.b.C.d",
        ] {
            assert!(Pattern::new(pattern).matches(".a.b.C.d"), "{pattern}");
        }
        for pattern in [
            "",
            "a",
            "C",
            ".a.b.C.d.e",
            ".C.d",
            ".a.b.",
            "b.C",
            ".a.bb",
            "x.d",
        ] {
            assert!(!Pattern::new(pattern).matches(".a.b.C.d"), "{pattern}");
        }
    }
}
