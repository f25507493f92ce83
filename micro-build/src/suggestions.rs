//! Lists the names that exist, the closest to the requested one first, for error messages.

use strsim::levenshtein;

/// Maximum number of names that a message lists; the rest is only counted.
const MAX_LISTED: usize = 8;

/// Returns `` `a`, `b` and 3 more ``, ordered by edit distance to `wanted`, then by name.
///
/// Returns `none` for an empty list. A name that occurs more than once is listed once.
pub(crate) fn closest_first<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_cached_key(|name| (levenshtein(wanted, name), *name));
    names.dedup();
    let listed: Vec<String> = names
        .iter()
        .take(MAX_LISTED)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len().saturating_sub(MAX_LISTED) {
        _ if names.is_empty() => "none".to_owned(),
        0 => listed.join(", "),
        more => format!("{} and {more} more", listed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::closest_first;

    #[test]
    fn names_are_ordered_by_edit_distance() {
        assert_eq!(
            closest_first("symbl", ["venue", "symbol"]),
            "`symbol`, `venue`"
        );
        assert_eq!(closest_first("x", []), "none");
    }

    #[test]
    fn names_beyond_the_maximum_are_counted() {
        let names: Vec<String> = (10..30).map(|n| format!("n{n}")).collect();
        assert!(closest_first("n", names.iter().map(String::as_str)).ends_with("and 12 more"));
    }
}
