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
fn timed_rows_are_left_out_by_the_name_of_the_counted_ones() {
    let check = |prefix: &str, expected: bool| {
        assert_eq!(leaves_only_counts(prefix), expected, "{prefix}");
    };
    check("", false);
    check("i", false);
    check("unary", false);
    check("instructions", true);
    check("instructions/no-such-operation", true);
}

#[test]
fn only_changed_files_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("build.rs");
    write_changed(&file, b"one").unwrap();
    let written = fs::metadata(&file).unwrap().modified().unwrap();
    write_changed(&file, b"one").unwrap();
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written);
    write_changed(&file, b"two").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"two");
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
