//! Rows of a comparison, and which of them are slower.

use serde_json::Value;

use crate::failure::Result;

/// A timed row is slower if even the upper quartile of its ratios is below this.
const MIN_UPPER_QUARTILE: f64 = 0.97;

/// A counted row is slower if the count grows by more than this factor.
const MAX_GROWTH: f64 = 1.03;

/// Metrics that are printed and not judged: they differ by tens of percent between two runs of the
/// same program.
const NOT_JUDGED: [&str; 2] = ["p99", "p99.9"];

/// One metric of one benchmark, before and after.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) bench: String,
    pub(crate) metric: String,
    /// Median, or the count, of the earlier revision.
    pub(crate) before: f64,
    pub(crate) after: f64,
    pub(crate) ratio: Ratio,
}

/// How the working tree compares with the earlier revision; above 1 it is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ratio {
    /// Of pairs that alternate, with its quartiles.
    Timed { lower: f64, median: f64, upper: f64 },
    /// Of two counts.
    Counted(f64),
}

impl Row {
    /// Reads a line of `micro-bench --json`.
    pub(crate) fn timed(line: &str) -> Result<Self> {
        let row: Value = serde_json::from_str(line)?;
        let missing = |key: &str| format!("no `{key}` in {line}");
        let text = |key: &str| row[key].as_str().ok_or_else(|| missing(key));
        let figure = |key: &str| row[key].as_f64().ok_or_else(|| missing(key));
        Ok(Self {
            bench: text("bench")?.to_owned(),
            metric: text("metric")?.to_owned(),
            before: figure("theirs")?,
            after: figure("ours")?,
            ratio: Ratio::Timed {
                lower: figure("ratio_q1")?,
                median: figure("ratio")?,
                upper: figure("ratio_q3")?,
            },
        })
    }

    /// Makes a row of instructions per operation.
    pub(crate) fn counted(bench: String, before: f64, after: f64) -> Self {
        Self {
            bench,
            metric: "instructions".to_owned(),
            before,
            after,
            ratio: Ratio::Counted(before / after),
        }
    }

    /// Returns why the row counts as slower, if it does.
    pub(crate) fn slower(&self) -> Option<String> {
        let Self { bench, metric, .. } = self;
        match self.ratio {
            Ratio::Timed { upper, .. }
                if upper < MIN_UPPER_QUARTILE && !NOT_JUDGED.contains(&&**metric) =>
            {
                Some(format!("{bench} {metric} (upper quartile {upper:.3})"))
            }
            Ratio::Counted(_) if self.after > self.before * MAX_GROWTH => {
                let percent = (self.after / self.before - 1.0) * 100.0;
                Some(format!("{bench} {metric} (+{percent:.1} %)"))
            }
            Ratio::Timed { .. } | Ratio::Counted(_) => None,
        }
    }

    /// Returns the names of the columns of [`line`](Self::line).
    pub(crate) fn header(revision: &str) -> String {
        format!(
            "{:29} {:15} {revision:>12} {:>12} {:>6}  quartiles",
            "row", "metric", "now", "ratio"
        )
    }

    /// Returns the row as a line of a table.
    pub(crate) fn line(&self) -> String {
        let (ratio, quartiles) = match self.ratio {
            Ratio::Timed {
                lower,
                median,
                upper,
            } => (median, format!("{lower:.3} to {upper:.3}")),
            Ratio::Counted(ratio) => (ratio, "counted".to_owned()),
        };
        let verdict = if self.slower().is_some() {
            "slower"
        } else {
            ""
        };
        let line = format!(
            "{:29} {:15} {:>12} {:>12} {ratio:>6.3}  {quartiles:14}  {verdict}",
            self.bench,
            self.metric,
            figure(self.before),
            figure(self.after),
        );
        line.trim_end().to_owned()
    }
}

/// Returns a number with one decimal, or none where that is below its precision.
fn figure(value: f64) -> String {
    let decimals = if value < 10_000.0 { 1 } else { 0 };
    format!("{value:.decimals$}")
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
