//! Mistakes and what the compiler says about them, one per file; and what must go on compiling.

use std::fs;

#[test]
fn mistakes_are_answered_clearly() {
    trybuild::TestCases::new().compile_fail("ui/fail/*.rs");
}

#[test]
fn what_is_right_compiles() {
    trybuild::TestCases::new().pass("ui/pass/*.rs");
}

/// One error for each mistake: none is kept for the next compile, and none leads to another.
#[test]
fn two_mistakes_are_two_errors() {
    let mut cases = 0;
    for entry in fs::read_dir("ui/fail").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("two_mistakes_") && name.ends_with(".stderr") {
            let text = fs::read_to_string(&path).unwrap();
            let errors = text
                .lines()
                .filter(|line| line.starts_with("error"))
                .count();
            assert_eq!(errors, 2, "{name}\n{text}");
            cases += 1;
        }
    }
    assert!(cases >= 10, "found only {cases} cases");
}
