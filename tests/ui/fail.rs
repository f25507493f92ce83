//! Compile-fail cases: a mistake per file, beside it the messages of the compiler.

use std::fs;

/// Pass cases are targets of their own: with one of them here, trybuild would link each case.
#[test]
fn mistakes_give_the_expected_messages() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}

/// One error for each mistake: none is kept for the next compile, and none leads to another.
#[test]
fn two_mistakes_are_two_errors() {
    let mut cases = 0;
    for entry in fs::read_dir("fail").unwrap() {
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
