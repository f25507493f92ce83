//! Mistakes and what the compiler says about them, one per file.

#[test]
fn mistakes_are_answered_clearly() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    cases.compile_fail("ui/fail/*.rs");
}
