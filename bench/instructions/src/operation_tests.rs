//! Unit tests of `operation.rs`.

use super::*;

/// More than one batch, and not a multiple of one.
const COUNT: u64 = BATCH + 1;

#[tokio::test]
async fn each_operation_runs_to_its_end() {
    for (name, operation) in Operation::ALL {
        let outcome = operation.run(COUNT).await;
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

#[test]
fn an_unknown_operation_lists_those_that_exist() {
    let error = Operation::named("ping").unwrap_err().to_string();
    assert!(
        error.starts_with("no operation `ping`; there are unary, "),
        "{error}"
    );
}
