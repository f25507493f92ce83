//! Lints that generated items allow.

use syn::{Attribute, parse_quote};

/// Returns the attribute that allows lints on a generated item.
///
/// It is written on every item, since an `include!`d file cannot have inner attributes. `warnings`
/// covers all lints of level `warn`; the others are the ones that users often deny by name.
pub(crate) fn allow() -> Attribute {
    parse_quote!(#[allow(warnings, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)])
}

/// Text of the attribute that [`allow`] returns.
pub(super) const ALLOW: &str =
    "#[allow(warnings, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]";
