//! What a user may choose about the code that is ours; `config` fills it in, the emitters read it.

use syn::Attribute;

use crate::patterns::{Pattern, Use};

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one answer of the user, independent of the others"
)]
pub(crate) struct Settings {
    /// Where generated code finds `micro_runtime`.
    pub(crate) runtime: syn::Path,
    pub(crate) client: bool,
    pub(crate) server: bool,
    pub(crate) events: bool,
    pub(crate) trait_attributes: Attributes,
    pub(crate) client_attributes: Attributes,
    pub(crate) server_attributes: Attributes,
    /// Services and methods whose comments stay in the .proto.
    pub(crate) without_comments: Vec<Pattern>,
    /// What another crate has generated, services included.
    pub(crate) elsewhere: Vec<Pattern>,
    /// Rust names of services and methods, by path.
    pub(crate) renames: Vec<(Pattern, String)>,
    /// Whether packages inside of packages become modules inside of modules.
    pub(crate) nested_packages: bool,
    /// Every pattern that was given, so that none is given in vain.
    pub(crate) uses: Vec<Use>,
}

/// Attributes for the items of the services that a pattern picks.
#[derive(Default)]
pub(crate) struct Attributes(pub(crate) Vec<(Pattern, Vec<Attribute>)>);

impl Attributes {
    /// Those for the service `full_name`, in the order in which they were given.
    pub(crate) fn of(&self, full_name: &str) -> impl Iterator<Item = &Attribute> {
        let path = format!(".{full_name}");
        self.0
            .iter()
            .filter(move |(pattern, _)| pattern.matches(&path))
            .flat_map(|(_, found)| found)
    }
}

impl Settings {
    /// Whether another crate has the service `full_name`.
    pub(crate) fn is_elsewhere(&self, full_name: &str) -> bool {
        let path = format!(".{full_name}");
        self.elsewhere.iter().any(|pattern| pattern.matches(&path))
    }

    /// The Rust name that the user gave to the service or method `full_name`.
    pub(crate) fn renamed(&self, full_name: &str) -> Option<String> {
        let path = format!(".{full_name}");
        let mut given = self
            .renames
            .iter()
            .filter(|(pattern, _)| pattern.is_for(&path));
        given.next_back().map(|(_, name)| name.clone())
    }

    /// Whether the comment of the service or method `full_name` becomes documentation.
    pub(crate) fn comments(&self, full_name: &str) -> bool {
        let path = format!(".{full_name}");
        !self
            .without_comments
            .iter()
            .any(|pattern| pattern.matches(&path))
    }
}
