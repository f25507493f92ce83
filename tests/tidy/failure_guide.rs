//! The tables of `docs/guide/failure.md`: each row names tests, and each test that it names exists.

use std::fs;

use regex::Regex;

use crate::workspace::root;

/// The document whose tables are checked.
pub(crate) const FAILURE_GUIDE: &str = "docs/guide/failure.md";

/// Folders that the names of tests are paths below of, module by module.
const TEST_ROOTS: [&str; 2] = ["tests/it", "micro-runtime/src"];

/// Returns the rows of tables with a last column `tests` that name no test, and the tests that do not exist.
pub(crate) fn names_tests(path: &str, text: &str) -> Vec<String> {
    let mut violations = vec![];
    let mut cells_in_header = None;
    for (number, line) in (1..).zip(text.lines()) {
        let Some(row) = line.strip_prefix("| ") else {
            // The line below a header has no space.
            if !line.starts_with('|') {
                cells_in_header = None;
            }
            continue;
        };
        let cells: Vec<&str> = row.trim_end().trim_end_matches('|').split('|').collect();
        let last = cells.last().map_or("", |cell| cell.trim());
        let Some(expected) = cells_in_header else {
            cells_in_header = (last == "tests").then_some(cells.len());
            continue;
        };
        if cells.len() != expected {
            violations.push(format!(
                "{path}:{number}: {} cells, not {expected}",
                cells.len()
            ));
        }
        let tests: Vec<&str> = last.split(", ").filter(|name| !name.is_empty()).collect();
        if tests.is_empty() {
            violations.push(format!("{path}:{number}: the row names no test"));
        }
        for name in tests {
            if !test_exists(name.trim_matches('`')) {
                violations.push(format!("{path}:{number}: there is no test {name}"));
            }
        }
    }
    violations
}

/// Returns whether `a::b::c` is a test: the function `c` in the file of the module `a::b`, below one of
/// [`TEST_ROOTS`].
pub(crate) fn test_exists(name: &str) -> bool {
    let Some((module, function)) = name.rsplit_once("::") else {
        return false;
    };
    let module = module.replace("::", "/");
    let files = TEST_ROOTS.iter().flat_map(|folder| {
        let base = format!("{folder}/{module}");
        [".rs", "_tests.rs", "/mod.rs"].map(|ending| format!("{base}{ending}"))
    });
    files
        .filter_map(|file| fs::read_to_string(root().join(file)).ok())
        .any(|text| has_test(&text, function))
}

/// Returns whether a source has this function, with the attribute of a test and none that leaves it out of every suite,
/// or in the list of a macro that defines the tests of the file.
fn has_test(text: &str, function: &str) -> bool {
    let attributed =
        format!(r"#\[(?:tokio::)?test\b[^\n]*\]\s+(?:#\[[^\n]*\]\s+)*(?:async )?fn {function}\(");
    let ignored = format!(r"(#\[ignore\b[^\n]*\])\s+(?:#\[[^\n]*\]\s+)*(?:async )?fn {function}\(");
    let listed = format!(r"(?m)^    {function}$[\s\S]*^async fn {function}\(");
    let matches = |pattern: &String| Regex::new(pattern).is_ok_and(|one| one.is_match(text));
    let ignored = Regex::new(&ignored).ok().and_then(|one| one.captures(text));
    // A slow suite runs it by name.
    let is_left_out = ignored.is_some_and(|found| !found[1].contains("\"slow: "));
    !is_left_out && [attributed, listed].iter().any(matches)
}

#[test]
fn a_row_without_a_test_that_exists_is_caught() {
    let check = |row: &str, expected: &[&str]| {
        let table = "| situation | caller | tests |\n|---|---|---|\n";
        let text = format!("# A\n\n| a | b |\n|---|---|\n| c | d |\n\n{table}{row}\n\n| e | f |\n");
        let expected: Vec<String> = expected
            .iter()
            .map(|violation| format!("guide.md:9: {violation}"))
            .collect();
        assert_eq!(names_tests("guide.md", &text), expected, "{row}");
    };
    let attributed = "`crash::only_calls_in_flight_fail_when_a_server_is_killed`";
    let listed = "`behavior::calls::a_call_returns_the_reply`";
    check(&format!("| a | b | {attributed}, {listed} |"), &[]);
    check(
        "| a | b | `bus::in_process_tests::each_group_and_each_plain_subscription_gets_every_message` |",
        &[],
    );
    check("| a | b | |", &["the row names no test"]);
    check(&format!("| a | {attributed} |"), &["2 cells, not 3"]);
    for name in [
        "`crash::no_such_test`",
        "`no_module::a_call_returns_the_reply`",
        "`a_call_returns_the_reply`",
        // A function, and no test.
        "`crash::wait_until_done`",
        "`behavior::servers::start_instances`",
        // A test that no suite includes.
        "`recorded::record::record_this_wire`",
        "in prose",
    ] {
        check(
            &format!("| a | b | {name} |"),
            &[&format!("there is no test {name}")],
        );
    }
}
