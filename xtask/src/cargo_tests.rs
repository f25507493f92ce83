//! Unit tests of `cargo.rs`.

use super::*;

#[test]
fn a_command_is_shown_as_one_would_type_it() {
    let mut command = cargo(&["doc", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-Dwarnings");
    assert_eq!(
        shown(&command),
        "RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps"
    );
}

#[test]
fn a_failure_names_the_command() {
    let mut command = cargo(&["--no-such-flag"]);
    command.stderr(Stdio::null());
    let error = run(command).unwrap_err().to_string();
    assert_eq!(error, "`cargo --no-such-flag` failed");
}

#[test]
fn both_outputs_arrive_in_order_and_line_by_line() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo one; echo two >&2; printf three"]);
    let mut lines = Vec::new();
    read_all_output(command, |line| lines.push(line.to_owned())).unwrap();
    assert_eq!(lines, ["one", "two", "three"]);
}

#[test]
fn a_command_that_fails_after_its_output_is_an_error() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo one; exit 3"]);
    let mut lines = Vec::new();
    let error = read_output(command, |line| lines.push(line.to_owned())).unwrap_err();
    assert_eq!(error.to_string(), "`sh -c echo one; exit 3` failed");
    assert_eq!(lines, ["one"]);
}
