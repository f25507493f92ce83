//! `cargo xtask test`: runs the selected suites and prints how long each took.

use crate::failure::Result;
use crate::suites::suite::{Report, Suite, report, test};
use crate::suites::tiers::{FIRST_TIER, FIRST_TIER_NAME, SECOND_TIER, SLOW, list};
use crate::suites::timing::seconds;
use crate::suites::tool;

/// The name that lists the slow suites instead of running one.
const LIST: &str = "list";
/// Number of tests that run at a time in the first tier, on two cores: most wait more than they compute.
const TEST_THREADS: &str = "4";

/// The suites that run, and the arguments for `cargo test`.
#[derive(Debug)]
pub(crate) enum Selection {
    /// The first tier, with the second if `is_full`.
    Tiers { is_full: bool, args: Vec<String> },
    /// Slow suites, or those of the second tier, by name.
    Slow(Vec<String>),
}

/// Runs every selected suite, also after one that failed.
///
/// # Errors
///
/// If a suite does not exist, lacks a tool, or fails; the text names it.
pub(crate) fn run(selection: &Selection) -> Result<()> {
    let reports = match selection {
        Selection::Tiers { is_full, args } => {
            let mut reports = vec![first_tier(args)];
            if *is_full {
                reports.extend(SECOND_TIER.iter().map(Suite::run));
            }
            reports
        }
        Selection::Slow(names) if names.iter().any(|name| name == LIST) => {
            println!("for `cargo xtask test --slow NAME`:\n{}", by_name());
            return Ok(());
        }
        Selection::Slow(names) => named(names)?.into_iter().map(Suite::run).collect(),
    };
    eprint!("{}", table(&reports));
    let failures: Vec<String> = reports
        .into_iter()
        .filter_map(|report| report.result.err())
        .map(|error| error.to_string())
        .collect();
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join("\nerror: ").into()),
    }
}

fn first_tier(args: &[String]) -> Report {
    let args = first_tier_args(args);
    report(
        FIRST_TIER_NAME,
        &[tool::NATS_SERVER, tool::PYTHON],
        |variables, timing| {
            let mut variables = variables.clone();
            variables.push(("RUST_TEST_THREADS", TEST_THREADS.into()));
            test(&args, &variables, timing).map(drop)
        },
    )
}

/// Adds the packages of the first tier, unless the caller chooses packages.
fn first_tier_args(args: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    if !chooses_packages(args) {
        for package in FIRST_TIER {
            all.extend(["--package".to_owned(), (*package).to_owned()]);
        }
    }
    all.extend_from_slice(args);
    all
}

fn chooses_packages(args: &[String]) -> bool {
    let for_cargo = args.iter().take_while(|arg| *arg != "--");
    for_cargo.into_iter().any(|arg| {
        arg == "-p"
            || arg.starts_with("--package")
            || arg == "--workspace"
            || (arg.starts_with("-p") && !arg.starts_with("--"))
    })
}

fn named(names: &[String]) -> Result<Vec<&'static Suite>> {
    names
        .iter()
        .map(|name| {
            let mut suites = SLOW.iter().chain(SECOND_TIER);
            let suite = suites.find(|suite| suite.name == name);
            suite.ok_or_else(|| {
                format!("there is no suite `{name}`; there are\n{}", by_name()).into()
            })
        })
        .collect()
}

/// Returns a line for each suite that can be asked for by name.
fn by_name() -> String {
    format!(
        "{}\nof the second tier, which --full runs:\n{}",
        list(SLOW),
        list(SECOND_TIER)
    )
}

/// Returns a line for each suite, and below it one for each of its parts.
fn table(reports: &[Report]) -> String {
    let mut table = "\nseconds per suite:\n".to_owned();
    for report in reports {
        let failed = if report.result.is_err() {
            " (failed)"
        } else {
            ""
        };
        table += &format!("{} s  {}{failed}\n", seconds(report.total), report.name);
        table += &report.timing.table();
    }
    table.push('\n');
    table
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
