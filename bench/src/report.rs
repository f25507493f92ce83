//! Output of rows: a table for people, JSON lines for programs, Markdown for the documentation.

use std::fmt::Write as _;

use serde_json::Value;

use crate::failure::Result;
use crate::quartiles::Quartiles;

/// One metric of one benchmark against one peer.
pub(crate) struct Row {
    pub(crate) bench: String,
    pub(crate) metric: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: Quartiles,
    pub(crate) peer: String,
    pub(crate) theirs: Quartiles,
    pub(crate) ratio: Quartiles,
    pub(crate) pairs: usize,
}

/// Prints rows as they are measured.
pub(crate) struct Report {
    is_json: bool,
}

impl Report {
    /// Prints the header of a table, unless rows are printed as JSON.
    pub(crate) fn new(is_json: bool) -> Self {
        if !is_json {
            println!(
                "{:26} {:15} {:>12}  {:17} {:>12}  {:>7}  quartiles of the ratio",
                "bench", "metric", "ours", "peer", "theirs", "ratio"
            );
        }
        Self { is_json }
    }

    pub(crate) fn print(&self, row: &Row) {
        match self.is_json {
            true => println!("{}", json(row)),
            false => println!(
                "{:26} {:15} {:>12}  {:17} {:>12}  {:>7}  {} to {}",
                row.bench,
                row.metric,
                measured(row.ours.median, row.unit),
                row.peer,
                measured(row.theirs.median, row.unit),
                number(row.ratio.median),
                number(row.ratio.lower),
                number(row.ratio.upper),
            ),
        }
    }
}

/// Returns a row as a JSON object with a fixed order of keys; `cargo xtask bench --against` of other
/// revisions reads them.
fn json(row: &Row) -> String {
    let text = |text: &str| Value::from(text).to_string();
    format!(
        r#"{{"bench":{},"metric":{},"ours":{},"peer":{},"theirs":{},"ratio":{},"ratio_q1":{},"ratio_q3":{},"pairs":{}}}"#,
        text(&row.bench),
        text(&row.metric),
        number(row.ours.median),
        text(&row.peer),
        number(row.theirs.median),
        number(row.ratio.median),
        number(row.ratio.lower),
        number(row.ratio.upper),
        row.pairs,
    )
}

/// Returns the lines of a JSON run as a Markdown table.
pub(crate) fn markdown(lines: &str) -> Result<String> {
    let mut table = "| benchmark | metric | micro | peer | theirs | ratio | quartiles |\n\
                     |---|---|---|---|---|---|---|\n"
        .to_owned();
    for line in lines.lines() {
        let row: Value = serde_json::from_str(line)?;
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        let figure = |key: &str| grouped(row[key].as_f64().unwrap_or(f64::NAN));
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} | **{}** | {} to {} |",
            text("bench"),
            text("metric"),
            figure("ours"),
            text("peer"),
            figure("theirs"),
            figure("ratio"),
            figure("ratio_q1"),
            figure("ratio_q3"),
        );
    }
    Ok(table)
}

/// Formats a number with four significant digits.
fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10f64.powi(digits);
    let rounded = (value * scale).round() / scale;
    format!("{rounded:.*}", usize::try_from(digits).unwrap_or(0))
}

fn measured(value: f64, unit: &str) -> String {
    format!("{} {unit}", grouped(value)).trim_end().to_owned()
}

/// Formats a number with spaces between its thousands.
fn grouped(value: f64) -> String {
    let text = number(value);
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    match part {
        "" => grouped,
        part => format!("{grouped}.{part}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_significant_digits() {
        let check = |value: f64, expected: &str| assert_eq!(number(value), expected);
        check(0.0, "0");
        check(1.23456, "1.235");
        check(0.0123456, "0.01235");
        check(123.456, "123.5");
        check(175_432.1, "175400");
        check(f64::INFINITY, "0");
    }

    #[test]
    fn a_json_line_becomes_a_row_of_a_table() {
        let constant = |median| Quartiles {
            lower: median,
            median,
            upper: median,
        };
        let line = json(&Row {
            bench: "unary/16B/512".to_owned(),
            metric: "rate".to_owned(),
            unit: "/s",
            ours: constant(240_000.0),
            peer: "async-nats".to_owned(),
            theirs: constant(200_000.0),
            ratio: constant(1.2),
            pairs: 11,
        });
        assert_eq!(
            line,
            r#"{"bench":"unary/16B/512","metric":"rate","ours":240000,"peer":"async-nats","theirs":200000,"ratio":1.200,"ratio_q1":1.200,"ratio_q3":1.200,"pairs":11}"#
        );
        let table = markdown(&line).unwrap_or_default();
        assert!(table.contains("| unary/16B/512 | rate | 240\u{202f}000 | async-nats |"));
    }
}
