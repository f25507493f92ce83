//! Parsed options of the emitters; created by `config`, read by all later stages.

use syn::Attribute;

use crate::patterns::{Pattern, PatternUse};

/// Parsed options that concern the code of this crate's own emitters.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent option of `Config`"
)]
pub(crate) struct Settings {
    /// The path of `micro_runtime` in generated code.
    pub(crate) runtime: syn::Path,
    pub(crate) client: bool,
    pub(crate) server: bool,
    pub(crate) events: bool,
    pub(crate) trait_attributes: Attributes,
    pub(crate) client_attributes: Attributes,
    pub(crate) server_attributes: Attributes,
    /// Services and methods whose comments are omitted.
    pub(crate) without_comments: Vec<Pattern>,
    /// Packages and messages that another crate has generated, services included.
    pub(crate) extern_paths: Vec<Pattern>,
    /// Rust names of services and methods, by path.
    pub(crate) renames: Vec<(Pattern, String)>,
    /// Whether an include file nests the modules of packages.
    pub(crate) nested_packages: bool,
    /// Every pattern that was given to an option, for the check that each matches something.
    pub(crate) uses: Vec<PatternUse>,
}

/// Attributes for the items of the services that a pattern matches.
#[derive(Default)]
pub(crate) struct Attributes(pub(crate) Vec<(Pattern, Vec<Attribute>)>);

impl Attributes {
    /// Returns the attributes for the service `full_name`, in the order in which they were given.
    pub(crate) fn of(&self, full_name: &str) -> impl Iterator<Item = &Attribute> {
        let path = format!(".{full_name}");
        self.0
            .iter()
            .filter(move |(pattern, _)| pattern.matches(&path))
            .flat_map(|(_, found)| found)
    }
}

impl Settings {
    /// Returns whether another crate has generated the service or message `full_name`.
    pub(crate) fn is_extern(&self, full_name: &str) -> bool {
        let path = format!(".{full_name}");
        self.extern_paths
            .iter()
            .any(|pattern| pattern.matches(&path))
    }

    /// Returns the Rust name that the user chose for the service or method `full_name`.
    pub(crate) fn renamed(&self, full_name: &str) -> Option<String> {
        let path = format!(".{full_name}");
        let mut given = self
            .renames
            .iter()
            .filter(|(pattern, _)| pattern.is_for(&path));
        given.next_back().map(|(_, name)| name.clone())
    }

    /// Returns whether the comment of the service or method `full_name` becomes documentation.
    pub(crate) fn comments(&self, full_name: &str) -> bool {
        let path = format!(".{full_name}");
        !self
            .without_comments
            .iter()
            .any(|pattern| pattern.matches(&path))
    }
}
