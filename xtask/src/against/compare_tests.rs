//! Unit tests of `compare.rs`.

use super::*;

#[test]
fn the_verdict_names_every_slower_row() {
    let check = |counts: &[(&str, f64, f64)], expected: Option<&str>| {
        let mut table = Table::default();
        for (bench, before, after) in counts {
            table.add(&Row::counted((*bench).to_owned(), *before, *after));
        }
        let error = table
            .verdict("d500b0c")
            .err()
            .map(|error| error.to_string());
        assert_eq!(error.as_deref(), expected, "{counts:?}");
    };
    check(&[], Some("no row can be compared with d500b0c"));
    check(&[("unary", 100.0, 100.0), ("event", 100.0, 90.0)], None);
    check(
        &[
            ("unary", 100.0, 110.0),
            ("event", 100.0, 100.0),
            ("upload", 100.0, 120.0),
        ],
        Some("slower than d500b0c: unary instructions (+10.0 %), upload instructions (+20.0 %)"),
    );
}
