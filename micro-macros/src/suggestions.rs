//! Suggests the name that the user probably meant, for error messages.

use std::fmt::Display;

use strsim::osa_distance;

/// Returns the candidate with the smallest edit distance to `name`, ignoring case and underscores.
///
/// Returns `None` if no candidate is close enough to be a misspelling. A transposition of two
/// neighboring letters counts as one edit.
pub(crate) fn closest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (osa_distance(&fold(name), &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= max_distance(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns ``; did you mean `x`?`` for the closest candidate, or else the list of all candidates.
pub(crate) fn suggestion(name: &str, candidates: &[&str]) -> String {
    match closest(name, candidates.iter().copied()) {
        Some(candidate) => format!("; did you mean `{candidate}`?"),
        None => format!("; expected one of: {}", list(candidates)),
    }
}

/// Returns `` `a`, `b`, `c` ``.
pub(crate) fn list(names: &[impl Display]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// Returns the maximum edit distance of a misspelling: a third of the length, and at least 1.
fn max_distance(name: &str) -> usize {
    (name.len() / 3).max(1)
}

/// Removes case and underscores, so that `SayHello` equals `say_hello`.
fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| *c != '_')
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn misspellings_are_matched_and_other_names_are_not() {
        let methods = ["say_hello", "count", "sum"];
        for (name, expected) in [
            ("say_helo", Some("say_hello")),
            ("sayHello", Some("say_hello")),
            ("SayHello", Some("say_hello")),
            ("hello_say", None),
            ("coutn", Some("count")),
            ("conut", Some("count")),
            ("cont", Some("count")),
            ("sums", Some("sum")),
            ("load_user", None),
        ] {
            assert_eq!(closest(name, methods), expected, "{name}");
        }
    }
}
