//! Unit tests of `instructions.rs`.

use super::*;

#[test]
fn the_count_is_read_from_the_last_lines_of_callgrind() {
    let text = "==7830== Callgrind, a call-graph generating cache profiler\n\
                ==7830== \n==7830== Events    : Ir\n==7830== Collected : 17973298\n\
                ==7830== \n==7830== I   refs:      17,973,298\n";
    assert_eq!(collected(text), Some(17_973_298.0));
    assert_eq!(collected("valgrind: no such program"), None);
}

#[test]
fn operations_are_chosen_by_the_beginning_of_their_rows() {
    let check = |prefix: &str, expected: &[&str]| {
        assert_eq!(chosen(prefix), expected, "{prefix}");
    };
    check("", &OPERATIONS);
    check("instructions", &OPERATIONS);
    check("instructions/unary", &["unary", "unary-64"]);
    check("unary", &[]);
}

#[test]
fn the_manifest_has_the_dependencies_of_the_package_in_the_workspace() {
    let folder = micro_testkit::workspace_root().join(SOURCES);
    let package = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let names = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .skip_while(|line| !line.ends_with("dependencies]"))
            .take_while(|line| !line.starts_with("[lints"))
            .filter(|line| !line.is_empty())
            .map(|line| line.split([' ', '.']).next().unwrap().to_owned())
            .collect()
    };
    let manifest = manifest(Path::new("/work"));
    assert_eq!(names(&manifest), names(&package));
    assert!(names(&manifest).len() > 4, "{manifest}");
}
