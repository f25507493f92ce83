//! Finds the name that somebody meant.

use std::fmt::Display;

/// The candidate that differs least from `name`, if it is near enough to be a slip.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(&fold(name), &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= slips(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ``; did you mean `x`?`` for the nearest candidate, else the whole list.
pub(crate) fn suggestion(name: &str, candidates: &[&str]) -> String {
    match nearest(name, candidates.iter().copied()) {
        Some(candidate) => format!("; did you mean `{candidate}`?"),
        None => format!("; expected one of: {}", list(candidates)),
    }
}

/// `` `a`, `b`, `c` ``
pub(crate) fn list(names: &[impl Display]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// One slip for each third of a name, and always one.
fn slips(name: &str) -> usize {
    (name.len() / 3).max(1)
}

/// Drops what distinguishes `SayHello` from `say_hello`.
fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| *c != '_')
        .flat_map(char::to_lowercase)
        .collect()
}

/// How many letters must be added, dropped, replaced or swapped with their neighbor.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![(0..=right.len()).collect::<Vec<_>>()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_understood_and_other_names_are_not() {
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
            assert_eq!(nearest(name, methods), expected, "{name}");
        }
    }
}
