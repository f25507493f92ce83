//! Unit tests of `row.rs`.

use super::*;

fn timed(metric: &str, [lower, median, upper]: [f64; 3]) -> Row {
    Row {
        bench: "unary/16B/64".to_owned(),
        metric: metric.to_owned(),
        before: 100_000.0,
        after: 100_000.0 * median,
        ratio: Ratio::Timed {
            lower,
            median,
            upper,
        },
    }
}

#[test]
fn a_timed_row_is_slower_by_its_upper_quartile() {
    let check = |metric: &str, quartiles, expected: Option<&str>| {
        let found = timed(metric, quartiles).slower();
        assert_eq!(found.as_deref(), expected, "{metric} {quartiles:?}");
    };
    check("rate", [1.0, 1.0, 1.0], None);
    check("rate", [0.80, 0.90, 0.97], None);
    check(
        "rate",
        [0.80, 0.90, 0.969],
        Some("unary/16B/64 rate (upper quartile 0.969)"),
    );
    check("rate", [1.1, 1.2, 1.3], None);
    check("p99", [0.1, 0.2, 0.3], None);
    check("p99.9", [0.1, 0.2, 0.3], None);
    check(
        "p50",
        [0.1, 0.2, 0.3],
        Some("unary/16B/64 p50 (upper quartile 0.300)"),
    );
}

#[test]
fn a_counted_row_is_slower_above_three_percent() {
    let check = |before: f64, after: f64, expected: Option<&str>| {
        let row = Row::counted("instructions/unary".to_owned(), before, after);
        assert_eq!(row.slower().as_deref(), expected, "{before} {after}");
    };
    check(1000.0, 900.0, None);
    check(1000.0, 1000.0, None);
    check(1000.0, 1030.0, None);
    check(
        1000.0,
        1031.0,
        Some("instructions/unary instructions (+3.1 %)"),
    );
}

#[test]
fn a_line_of_the_benchmarks_becomes_a_row() {
    let line = r#"{"bench":"unary/16B/64","metric":"rate","ours":90000,"peer":"before","theirs":100000,"ratio":0.9000,"ratio_q1":0.8000,"ratio_q3":0.9500,"pairs":11}"#;
    let row = Row::timed(line).unwrap();
    assert_eq!(row, timed("rate", [0.8, 0.9, 0.95]));
    assert_eq!(
        row.line(),
        "unary/16B/64                  rate                  100000        90000  0.900  0.800 to 0.950  slower"
    );
}

#[test]
fn a_line_without_a_figure_is_an_error_that_names_it() {
    let error = Row::timed(r#"{"bench":"unary/16B/64","metric":"rate"}"#).unwrap_err();
    assert!(error.to_string().starts_with("no `theirs` in "), "{error}");
}

#[test]
fn a_header_stands_above_the_columns() {
    let header = Row::header("d500b0c");
    let line = Row::counted("instructions/unary".to_owned(), 15_217.2, 1056.5).line();
    for (column, value) in [("d500b0c", "15217"), ("now", "1056.5"), ("ratio", "14.403")] {
        let end = |text: &str, word: &str| text.find(word).unwrap() + word.len();
        assert_eq!(end(&header, column), end(&line, value), "{header}\n{line}");
    }
}
