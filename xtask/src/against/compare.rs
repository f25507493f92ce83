//! The comparison: builds both, counts instructions, times pairs that alternate, and names the rows
//! that are slower.

use std::path::Path;
use std::process::Command;

use crate::against::instructions;
use crate::against::revision::Checkout;
use crate::against::row::Row;
use crate::cargo::read_output;
use crate::failure::Result;

/// Pairs of each timed row; with fewer the quartiles depend on single pairs.
const MIN_PAIRS: u32 = 11;

/// The options of a comparison.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// A revision as git takes it.
    pub(crate) against: &'a str,
    /// Beginning of the names of the rows.
    pub(crate) only: Option<&'a str>,
    /// Pairs of each timed row (11).
    pub(crate) pairs: Option<u32>,
}

/// Compares the working tree with a revision.
///
/// # Errors
///
/// If a row is slower; the text names all that are.
pub(crate) fn compare(options: &Options<'_>) -> Result<()> {
    let pairs = options.pairs.unwrap_or(MIN_PAIRS);
    if pairs < MIN_PAIRS {
        eprintln!(
            "warning: {pairs} pairs show a tendency and are no verdict; it takes {MIN_PAIRS}"
        );
    }
    let prefix = options.only.unwrap_or_default();
    let operations = instructions::chosen(prefix);
    let is_timed = !instructions::leaves_only_counts(prefix);
    let server = micro_testkit::fetch_nats_server()?;
    if !operations.is_empty() {
        // Fails now, and not after the builds.
        micro_testkit::valgrind()?;
    }
    let (before, after) = (Checkout::of(options.against)?, Checkout::working_tree());
    for checkout in [&before, &after] {
        if let Some(note) = checkout.uncommitted()? {
            eprintln!("{note}");
        }
    }
    let mut table = Table::default();

    if !operations.is_empty() {
        let programs = (
            instructions::build_program(&before)?,
            instructions::build_program(&after)?,
        );
        table.begin(&before.name);
        for operation in operations {
            table.add(&instructions::count(operation, &programs.0, &programs.1)?);
        }
    }
    if is_timed {
        let programs = (before.build_benchmarks()?, after.build_benchmarks()?);
        let mut command = timing(&programs.0, &programs.1);
        command.args(["--pairs", &pairs.to_string(), "--only", prefix]);
        command.env("NATS_SERVER", server);
        table.begin(&before.name);
        let mut result = Ok(());
        read_output(command, |line| match Row::timed(line) {
            Ok(row) => table.add(&row),
            Err(error) => result = Err(error),
        })?;
        result?;
    }
    table.verdict(&before.name)
}

/// Returns the command that lets two builds take turns and prints a row a line.
fn timing(before: &Path, after: &Path) -> Command {
    let mut command = Command::new(after);
    command.arg("--json").arg("--against").arg(before);
    command
}

/// Prints rows as they are measured and records those that are slower.
#[derive(Default)]
struct Table {
    rows: usize,
    slower: Vec<String>,
}

impl Table {
    fn begin(&self, revision: &str) {
        println!("{}", Row::header(revision));
    }

    fn add(&mut self, row: &Row) {
        println!("{}", row.line());
        self.rows += 1;
        self.slower.extend(row.slower());
    }

    fn verdict(self, revision: &str) -> Result<()> {
        match (self.rows, &self.slower[..]) {
            (0, _) => Err(format!("no row can be compared with {revision}").into()),
            (_, []) => Ok(()),
            (_, slower) => Err(format!("slower than {revision}: {}", slower.join(", ")).into()),
        }
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
