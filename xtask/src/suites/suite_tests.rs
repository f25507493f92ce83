//! Unit tests of `suite.rs`.

use super::*;
use crate::suites::tool::Tool;

#[test]
fn a_suite_that_lacks_a_tool_fails_with_what_to_do_and_runs_nothing() {
    let missing = Tool {
        prepare: || Err("`go` is not on PATH: install Go 1.24 or later".into()),
    };
    let mut has_run = false;
    let report = report("foreign-go", &[missing], |_, _| {
        has_run = true;
        Ok(())
    });
    assert_eq!(
        report.result.unwrap_err().to_string(),
        "suite `foreign-go`: `go` is not on PATH: install Go 1.24 or later"
    );
    assert!(!has_run);
}

#[test]
fn the_variables_of_all_tools_reach_the_work() {
    let one = Tool {
        prepare: || Ok(vec![("ONE", "/one".into())]),
    };
    let two = Tool {
        prepare: || Ok(vec![("TWO", "/two".into())]),
    };
    let mut seen = Variables::new();
    let report = report("both", &[one, two], |variables, _| {
        seen.clone_from(variables);
        Ok(())
    });
    assert!(report.result.is_ok());
    assert_eq!(seen, [("ONE", "/one".into()), ("TWO", "/two".into())]);
}
