//! Shows what exists to somebody who wrote something else, the likeliest first.

/// How many names a message lists before it only counts the rest.
const SHOWN: usize = 8;

/// `` `a`, `b` and 3 more ``, those most like `wanted` first.
pub(crate) fn listed<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_cached_key(|name| (distance(wanted, name), *name));
    names.dedup();
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len().saturating_sub(SHOWN) {
        _ if names.is_empty() => "none".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// How many letters have to be inserted, removed or replaced.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn the_likeliest_come_first() {
        assert_eq!(listed("symbl", ["venue", "symbol"]), "`symbol`, `venue`");
        assert_eq!(listed("x", []), "none");
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (10..30).map(|n| format!("n{n}")).collect();
        assert!(listed("n", names.iter().map(String::as_str)).ends_with("and 12 more"));
    }
}
